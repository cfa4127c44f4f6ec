//===- Passes.td - Passes of training ---------------------------*- tablegen -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// In the order the pipeline runs them. Pass `FooBar` is `def FooBar` here,
// `lathe-foo-bar` on the command line, `FooBar.cpp` in lib/Autodiff and
// `test/Autodiff/foo-bar.mlir`.
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_AUTODIFF_PASSES_TD
#define LATHE_AUTODIFF_PASSES_TD

include "mlir/Pass/PassBase.td"

def Autograd : Pass<"lathe-autograd", "::mlir::ModuleOp"> {
  let summary = "add the function that computes a loss and its gradients";
  let description = [{
    Reverse mode over a specialized function whose first result is a rank-0
    loss. `@loss_grad` takes the arguments of `@loss`; it returns the results of
    `@loss`, then a gradient per trainable (mutable float) parameter that the
    loss depends on, marked `lathe.gradient_of = @w`, in the order of the
    parameters, then one per float argument, marked
    `lathe.gradient_of_input = i` (zeros where the loss does not depend on it).

    Only ops between those and the loss get a backward part, by the rule of
    `DifferentiableOpInterface`; a composite without a rule is expanded first.
    An op without either is an error, if a gradient must pass through it. Loops
    and branches are differentiated as such: a `scan` stacks what its reverse
    needs, and a `while` with a known bound becomes a `scan`. Applied to its own
    output it gives second derivatives; a declared `@loss_grad` is filled in.

    Before:
    ```mlir
    func.func @loss(%x: tensor<4xf32>) -> tensor<f32> {
      %0 = lathe.mul %x, %x : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
      %1 = lathe.reduce_sum %0 {axes = array<i64>} : (tensor<4xf32>) -> tensor<f32>
      return %1 : tensor<f32>
    }
    ```
    After, with `wrt=inputs`, also:
    ```mlir
    func.func @loss_grad(%x: tensor<4xf32>)
        -> (tensor<f32>, tensor<4xf32> {lathe.gradient_of_input = 0 : i64}) {
      %0 = lathe.mul %x, %x : ...
      %1 = lathe.reduce_sum %0 {axes = array<i64>} : ...
      %one = lathe.constant dense<1.0> : tensor<f32>
      %2 = lathe.broadcast %one {shape = array<i64: 4>} : ...
      %3 = lathe.mul %2, %x : ...
      %4 = lathe.add %3, %3 : ...
      return %1, %4 : tensor<f32>, tensor<4xf32>
    }
    ```
  }];
  let options = [
    Option<"function", "function", "std::string", "\"loss\"",
           "The function that computes the loss">,
    Option<"wrt", "wrt", "std::string", "\"parameters\"",
           "What to differentiate by: parameters, inputs or both">
  ];
  let dependentDialects = ["::mlir::func::FuncDialect"];
}

def ExpandGradients : Pass<"lathe-expand-gradients", "::mlir::func::FuncOp"> {
  let summary = "put the backward part in the place of lathe.gradient";
  let description = [{
    By the rules of `lathe-autograd`, in a specialized function, where ONNX's
    Gradient asks for derivatives inside of a model. The forward part is the
    model's own: nothing is computed twice.

    Before:
    ```mlir
    %y = lathe.mul %a, %a : (tensor<f32>, tensor<f32>) -> tensor<f32>
    %d = lathe.gradient %y, %a : (tensor<f32>, tensor<f32>) -> tensor<f32>
    ```
    After:
    ```mlir
    %y = lathe.mul %a, %a : (tensor<f32>, tensor<f32>) -> tensor<f32>
    %one = lathe.constant dense<1.0> : tensor<f32>
    %0 = lathe.mul %one, %a : (tensor<f32>, tensor<f32>) -> tensor<f32>
    %d = lathe.add %0, %0 : (tensor<f32>, tensor<f32>) -> tensor<f32>
    ```
  }];
  let statistics = [
    Statistic<"numExpanded", "expanded", "Gradients put in place">
  ];
}

def Augment : Pass<"lathe-augment", "::mlir::ModuleOp"> {
  let summary = "change the images of a loss at random";
  let description = [{
    The one input of images, `[batch, H, W]`, `[batch, C, H, W]` or
    `[batch, H, W, C]` of bytes or floats, is read through a gather: with `crop=N`
    each image is cut, at its own place, from the image with a border of N zeros;
    with `flip` every second is mirrored, by lot. The random numbers are Philox
    numbers of the argument `random_key` (seed and step), which is added where
    there is none. Training does this in the step and never in an evaluation.

    Before, with `flip=true`:
    ```mlir
    func.func @loss(%image: tensor<8x28x28xui8> {lathe.name = "image"}) -> tensor<f32>
    ```
    After:
    ```mlir
    func.func @loss(%image: tensor<8x28x28xui8> {lathe.name = "image"}, %key: tensor<2xi64> {lathe.name = "random_key"}) -> tensor<f32> {
      %r = lathe.random_uniform %key {shape = array<i64: 8, 1, 1>, ...} : (tensor<2xi64>) -> tensor<8x1x1xf32>
      ...
      %1 = lathe.gather_elements %0, %pixels {axis = 1 : i64} : (tensor<8x784xui8>, tensor<8x784xi64>) -> tensor<8x784xui8>
    ```
  }];
  let options = [
    Option<"function", "function", "std::string", "\"loss\"",
           "The function that computes the loss">,
    Option<"flip", "flip", "bool", "false", "Mirror images left to right">,
    Option<"crop", "crop", "int64_t", "0", "Zeros around an image that is cut">
  ];
}

def MakeTrainable : Pass<"lathe-make-trainable", "::mlir::ModuleOp"> {
  let summary = "mark the parameters that training changes as mutable";
  let description = [{
    The float parameters that the function reads (calls are inlined before) and
    does not set itself, but those whose names match a pattern of `freeze`, where
    "*" stands for any text. What is not marked stays a weight, which is packed
    once, when it is loaded.

    Before:
    ```mlir
    lathe.parameter @w : tensor<4xf32>
    ```
    After:
    ```mlir
    lathe.parameter @w : tensor<4xf32> {mutable}
    ```
  }];
  let options = [
    Option<"function", "function", "std::string", "\"loss\"",
           "The function that computes the loss">,
    ListOption<"freeze", "freeze", "std::string",
               "Patterns of parameters that stay as they are">
  ];
}

def BuildTrainStep : Pass<"lathe-build-train-step", "::mlir::ModuleOp"> {
  let summary = "add the program that computes gradients and updates parameters";
  let description = [{
    From `@loss_grad`, as `lathe-autograd` makes it, to `@train_step`: gradients,
    clipping, schedule and optimizer in one function, the new values written by
    `lathe.set_parameter`. A recipe (lathe/Support/Recipe.h) says which; what it
    adds as states is called `train.*` and `optimizer.*`. With `accumulate=N` the
    step takes N times the batch, in a `lathe.scan` over N parts that carries the
    sums of gradients; with `precision=float16` the loss is scaled by
    `train.loss_scale`, and a step whose gradients are not finite changes nothing
    but the scale. Results are rank-0 figures: the loss, those of the model,
    `gradient_norm` where it is clipped, `learning_rate`, `loss_scale`.

    Before:
    ```mlir
    func.func @loss_grad(%x: tensor<4xf32>) -> (tensor<f32>, tensor<4xf32> {lathe.gradient_of = @w})
    ```
    After, with `recipe=optimizer=sgd,momentum=0,schedule=constant`, also:
    ```mlir
    lathe.parameter @train.step : tensor<i64> {init = #lathe.init<zeros>, mutable}
    func.func @train_step(%x: tensor<4xf32>) -> (tensor<f32> {lathe.name = "loss"}, ...) {
      ...
      %w = lathe.get_parameter @w : tensor<4xf32>
      %0 = lathe.mul %gradient, %rate : ...
      %1 = lathe.sub %w, %0 : ...
      lathe.set_parameter @w, %1 : tensor<4xf32>
      return %loss, %learning_rate : ...
    }
    ```
  }];
  let options = [
    Option<"function", "function", "std::string", "\"loss_grad\"",
           "The function that computes loss and gradients">,
    ListOption<"recipe", "recipe", "std::string",
               "Fields of the recipe that differ from the defaults, as "
               "optimizer=sgd,learning_rate=0.1">
  ];
  let dependentDialects = ["::mlir::func::FuncDialect"];
}

#endif // LATHE_AUTODIFF_PASSES_TD
