// What goes in comes out: shows what the inputs are.
func.func @main(%f: tensor<?xf32> {lathe.name = "f", lathe.dims = ["n"]}, %i: tensor<?xi64> {lathe.name = "i", lathe.dims = ["n"]},
                %b: tensor<?xi1> {lathe.name = "b", lathe.dims = ["n"]})
    -> (tensor<?xf32> {lathe.name = "f"}, tensor<?xi64> {lathe.name = "i"}, tensor<?xi1> {lathe.name = "b"}) {
  return %f, %i, %b : tensor<?xf32>, tensor<?xi64>, tensor<?xi1>
}
