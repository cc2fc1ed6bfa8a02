"""Write small TensorFlow networks into a folder; run as a program, since TensorFlow stays out of the process of the tests.

Run as: python tensorflow_networks.py FOLDER
"""

import os
import sys
from pathlib import Path
from typing import Any

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = ""

import keras
import numpy as np
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

RNG = np.random.default_rng(4)


def weights(*shape: int) -> Any:
    return tf.constant((RNG.normal(size=shape) / np.sqrt(np.prod(shape[:-1]))).astype(np.float32))


class Blocks(tf.Module):
    """Convolution, batch norm, ReLU6, depthwise, uneven padding, pools, split, concat, resizes and a mean."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.depth = tf.Variable(weights(3, 3, 3, 8)), tf.Variable(weights(3, 3, 8, 1))
        self.last = tf.Variable(weights(12, 5))
        self.statistics = [weights(8), weights(8), weights(8), tf.abs(weights(8)) + 0.1]

    @tf.function(input_signature=[tf.TensorSpec([None, 33, 31, 3], tf.float32, name="image")])
    def __call__(self, image: Any) -> dict[str, Any]:
        y = tf.nn.conv2d(image / 127.5 - 1.0, self.first, 2, "SAME")
        y = tf.nn.relu6(tf.compat.v1.nn.fused_batch_norm(y, *self.statistics, is_training=False)[0])
        y = tf.nn.relu(tf.nn.bias_add(tf.nn.depthwise_conv2d(y, self.depth, [1, 2, 2, 1], "SAME"), weights(8)))
        y = tf.nn.max_pool2d(tf.pad(y, [[0, 0], [1, 2], [0, 1], [0, 0]]), 3, 2, "SAME")
        left, right = tf.split(y, 2, axis=3)
        y = tf.concat([left, tf.nn.leaky_relu(right, 0.1), tf.nn.avg_pool2d(right, 2, 1, "SAME")], 3)
        smooth, rough = tf.image.resize(y, [12, 10]), tf.image.resize(y, [12, 10], method="nearest")
        scores = tf.nn.softmax(tf.matmul(tf.reduce_mean(y, [1, 2]), self.last))
        return {"scores": scores, "map": smooth + rough, "segments": tf.nn.softmax(smooth, axis=-1)}


def make_keras() -> Any:
    layers = keras.layers
    picture = keras.Input((32, 32, 3), name="picture")
    x = layers.Rescaling(1 / 127.5, offset=-1)(picture)
    x = layers.ReLU(6.0)(layers.BatchNormalization()(layers.Conv2D(8, 3, padding="same", use_bias=False)(x)))
    x = layers.DepthwiseConv2D(3, strides=2)(layers.ZeroPadding2D(((0, 1), (0, 1)))(x))
    x = layers.SeparableConv2D(12, 3, padding="same", activation="swish")(x)
    gate = layers.Conv2D(4, 1, activation="relu")(layers.GlobalAveragePooling2D(keepdims=True)(x))
    x = layers.Multiply()([x, layers.Conv2D(12, 1, activation="sigmoid")(gate)])
    x = layers.Conv2DTranspose(6, 3, strides=2, padding="same")(layers.UpSampling2D(2, interpolation="bilinear")(x))
    x = layers.AveragePooling2D(3, strides=2, padding="same")(layers.LayerNormalization()(x))
    scores = layers.Dense(7, activation="softmax", name="scores")(layers.Flatten()(layers.MaxPool2D(4)(x)))
    return keras.Model(picture, [scores, x])


def main() -> None:
    folder = Path(sys.argv[1])
    keras.utils.set_random_seed(1)
    blocks = Blocks()
    tf.saved_model.save(blocks, str(folder / "blocks"), signatures=blocks.__call__)
    frozen = convert_variables_to_constants_v2(blocks.__call__.get_concrete_function())
    tf.io.write_graph(frozen.graph, str(folder), "blocks.pb", as_text=False)
    make_keras().export(str(folder / "keras"), verbose=False)

    @tf.function(input_signature=[tf.TensorSpec([None, 8, 8, 3], tf.float32)])
    def read_file(image: Any) -> Any:
        kernel = tf.io.decode_raw(tf.io.read_file("kernel.bin"), tf.float32)
        return tf.nn.conv2d(image, tf.reshape(kernel, [3, 3, 3, 1]), 1, "SAME")

    graph = read_file.get_concrete_function().graph
    tf.io.write_graph(graph, str(folder), "reads_a_file.pb", as_text=False)
    with tf.Graph().as_default() as old:
        free = tf.compat.v1.placeholder(tf.float32, name="free")
        tf.reduce_mean(tf.nn.conv2d(free - 1.0, weights(3, 3, 3, 4), 1, "SAME"), [1, 2], name="means")
    tf.io.write_graph(old, str(folder), "any_size.pb", as_text=False)


if __name__ == "__main__":
    main()
