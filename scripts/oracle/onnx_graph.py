"""A few lines over onnx.helper, enough to write a network down layer by layer."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


class Graph:
    """Collects nodes and initializers; every method returns a value's name."""

    def __init__(self, name, opset=17):
        self.name, self.opset = name, opset
        self.nodes, self.inits, self.inputs, self.outputs = [], {}, [], []

    def input(self, name, elem_type, shape):
        self.inputs.append(helper.make_tensor_value_info(name, elem_type, shape))
        return name

    def output(self, name, value, elem_type, shape):
        self.nodes.append(helper.make_node("Identity", [value], [name]))
        self.outputs.append(helper.make_tensor_value_info(name, elem_type, shape))

    def parameter(self, name, array):
        self.inits[name] = np.ascontiguousarray(array)
        return name

    def constant(self, values, dtype=np.float32):
        array = np.asarray(values, dtype)
        name = f"const_{array.dtype}_{'x'.join(map(str, array.shape))}_{'_'.join(map(str, array.ravel()))}"
        return self.parameter(name, array)

    def op(self, op_type, *inputs, **attributes):
        name = f"{op_type.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op_type, list(inputs), [name], name=name, **attributes))
        return name

    def model(self):
        graph = helper.make_graph(
            self.nodes,
            self.name,
            self.inputs,
            self.outputs,
            [numpy_helper.from_array(array, name) for name, array in self.inits.items()],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)])
        model.ir_version = 8
        return model

    def save(self, path):
        model = self.model()
        onnx.checker.check_model(model)
        onnx.save(model, path)


FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64
