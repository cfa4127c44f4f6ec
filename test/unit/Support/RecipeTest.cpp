#include "lathe/Support/Recipe.h"
#include "TestHelpers.h"

using namespace lathe;
using namespace lathe::test;

TEST(Recipe, EveryFieldReadsBack) {
  TrainRecipe recipe;
  const std::pair<const char *, const char *> changes[] = {
      {"optimizer", "adafactor"},
      {"learning_rate", "0.1"},
      {"nesterov", "true"},
      {"epsilon", "1e-07"},
      {"weight_decay_groups", "*.bias:0;layer.*:0.25"},
      {"schedule", "inverse-sqrt"},
      {"total_steps", "9007199254740993"},
      {"precision", "float16"},
      {"freeze", "embed.*;pos"},
      {"augment_flip", "true"},
      {"augment_crop", "2"}};
  for (auto [name, value] : changes)
    EXPECT_EQ(message(setRecipeField(recipe, name, value)), "");
  EXPECT_EQ(recipe.learningRate, 0.1);
  EXPECT_EQ(recipe.totalSteps, 9007199254740993);
  EXPECT_EQ(recipe.weightDecayGroups[1].weightDecay, 0.25);
  EXPECT_EQ(recipe.freeze[1], "pos");
  TrainRecipe copy;
  for (auto &[name, value] : listRecipeFields(recipe))
    EXPECT_EQ(message(setRecipeField(copy, name, value)), "") << name;
  EXPECT_EQ(listRecipeFields(copy), listRecipeFields(recipe));
  EXPECT_NE(listRecipeFields(TrainRecipe()), listRecipeFields(recipe));
}

TEST(Recipe, RefusesWhatMeansNothing) {
  TrainRecipe recipe;
  auto set = [&](const char *name, const char *value) {
    return setRecipeField(recipe, name, value);
  };
  EXPECT_ERROR(set("learning_rat", "1"),
               "no field 'learning_rat' (did you mean 'learning_rate'?)");
  EXPECT_ERROR(set("colour", "1"), "no field 'colour'");
  EXPECT_ERROR(set("learning_rate", "fast"),
               "learning_rate must be a number, got 'fast'");
  EXPECT_ERROR(set("accumulate", "1.5"),
               "accumulate must be a whole number, got '1.5'");
  EXPECT_ERROR(set("nesterov", "yes"),
               "nesterov must be true or false, got 'yes'");
  EXPECT_ERROR(set("optimizer", "adamx"),
               "optimizer must be sgd, adam, adamw, adafactor or lamb");
  EXPECT_ERROR(set("weight_decay_groups", "a"),
               "weight_decay_groups must be PATTERN:NUMBER");
  EXPECT_EQ(listRecipeFields(recipe), listRecipeFields(TrainRecipe()));
  EXPECT_EQ(message(checkRecipe(recipe)), "");
  auto check = [](const char *name, const char *value) {
    TrainRecipe changed;
    EXPECT_EQ(message(setRecipeField(changed, name, value)), "");
    return checkRecipe(changed);
  };
  EXPECT_ERROR(check("learning_rate", "0"),
               "learning_rate must be above 0, got 0");
  EXPECT_ERROR(check("learning_rate", "nan"),
               "learning_rate must be finite and above 0, got nan");
  EXPECT_ERROR(check("learning_rate", "inf"),
               "learning_rate must be finite and above 0, got inf");
  EXPECT_ERROR(check("beta2", "1"), "beta2 must be in [0, 1), got 1");
  EXPECT_ERROR(check("accumulate", "0"), "accumulate must be above 0, got 0");
  EXPECT_ERROR(check("clip_norm", "-1"), "clip_norm must be 0 or more");
  EXPECT_ERROR(check("weight_decay_groups", "a:-1"), "weight_decay of 'a'");
  EXPECT_ERROR(check("scale_backoff", "2"), "scale_backoff must be in (0, 1]");
}

TEST(Recipe, PatternsMatchWholeNames) {
  EXPECT_TRUE(matchesPattern("a.b", "a.b"));
  EXPECT_FALSE(matchesPattern("a.b", "a.bc"));
  EXPECT_TRUE(matchesPattern("*", ""));
  EXPECT_TRUE(matchesPattern("*", "anything"));
  EXPECT_TRUE(matchesPattern("a*", "a"));
  EXPECT_TRUE(matchesPattern("*.bias", "layer.0.bias"));
  EXPECT_FALSE(matchesPattern("*.bias", "layer.bias.0"));
  EXPECT_TRUE(matchesPattern("a*b*c", "a.b.b.c"));
  EXPECT_FALSE(matchesPattern("a*b*c", "a.c.b"));
  EXPECT_FALSE(matchesPattern("ab*ba", "aba"));
  EXPECT_TRUE(matchesPattern("a**b", "ab"));
}
