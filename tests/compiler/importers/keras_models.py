"""Builds small Keras models, and what Keras makes of a batch, for the importer's tests.

Run as: python keras_models.py, in a process of its own, so that Keras and its warnings stay out of pytest's. It reads lines
`KIND FOLDER`, and says KIND when it has written that: for each model NAME.keras, NAME.h5 and NAME.npz (the batch as Keras
takes it, and the outputs in order).
"""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import keras
from keras import Model, Sequential, layers, ops

# fmt: off
NAMED_ACTIVATIONS = (
    "relu", "relu6", "leaky_relu", "elu", "selu", "gelu", "sigmoid", "hard_sigmoid", "tanh", "softmax", "log_softmax",
    "softplus", "softsign", "swish", "silu", "mish", "hard_swish", "hard_silu", "exponential", "linear",
)
# fmt: on


def convolutions() -> Model:
    x = given = layers.Input((17, 19, 3))
    x = layers.Conv2D(8, 3, strides=2, padding="same", activation="relu", name="stem")(x)
    x = layers.Conv2D(8, (3, 5), dilation_rate=2, padding="same", use_bias=False, name="dilated")(x)
    x = layers.BatchNormalization(name="folded")(x)
    x = layers.Conv2D(12, 3, groups=4, padding="valid", name="grouped")(x)
    x = layers.BatchNormalization(scale=False, name="no_gamma")(x)
    x = layers.Activation("relu")(x)
    kept = layers.BatchNormalization(center=False, epsilon=0.01, name="kept")(x)
    both = layers.Conv2D(12, 1, name="read_twice")(kept)
    normed = layers.BatchNormalization(name="beside")(both)
    return Model(given, layers.Add()([both, normed]))


def depthwise() -> Model:
    x = given = layers.Input((17, 16, 3))
    x = layers.ZeroPadding2D(((0, 1), (2, 1)), name="becomes_padding")(x)
    x = layers.DepthwiseConv2D(3, strides=2, depth_multiplier=2, name="wide")(x)
    x = layers.BatchNormalization()(x)
    x = layers.DepthwiseConv2D(5, padding="same", dilation_rate=2, use_bias=False)(x)
    x = layers.SeparableConv2D(8, 3, strides=2, padding="same", depth_multiplier=2, activation="elu")(x)
    x = layers.SeparableConv2D(5, 3, padding="same", use_bias=False)(x)
    return Model(given, layers.BatchNormalization()(x))


def transposed() -> Model:
    given = layers.Input((5, 6, 3))
    settings = [
        {"kernel_size": 3, "strides": 2, "padding": "same"},
        {"kernel_size": 4, "strides": 2, "padding": "valid", "use_bias": False},
        {"kernel_size": 2, "strides": 3, "padding": "same"},
        {"kernel_size": 2, "strides": 3, "padding": "valid"},
        {"kernel_size": (5, 4), "strides": (1, 2), "padding": "same", "activation": "tanh"},
        {"kernel_size": 3, "strides": 2, "padding": "same", "output_padding": 1},
        {"kernel_size": 3, "strides": 2, "padding": "valid", "output_padding": 1},
    ]
    ends = [layers.Conv2DTranspose(4, name=f"up{index}", **one)(given) for index, one in enumerate(settings)]
    ends[0] = layers.BatchNormalization()(ends[0])
    return Model(given, ends)


def pools() -> Model:
    given = layers.Input((15, 14, 3))
    ends = [
        layers.MaxPooling2D(3, 2, padding="same")(given),
        layers.MaxPooling2D((2, 3))(given),
        layers.AveragePooling2D(3, 2, padding="same")(given),
        layers.AveragePooling2D(2)(given),
        layers.GlobalAveragePooling2D()(given),
        layers.GlobalMaxPooling2D()(given),
        layers.GlobalAveragePooling2D(keepdims=True)(given),
        layers.GlobalMaxPooling2D(keepdims=True)(given),
    ]
    return Model(given, ends)


def sizes() -> Model:
    given = layers.Input((9, 8, 3))
    ends = [
        layers.ZeroPadding2D(2)(given),
        layers.ZeroPadding2D(((1, 0), (0, 3)))(given),
        layers.Cropping2D(((1, 2), (0, 3)))(given),
        layers.UpSampling2D((2, 3))(given),
        layers.UpSampling2D((3, 2), interpolation="bilinear")(given),
        layers.MaxPooling2D(2)(layers.ZeroPadding2D(1)(given)),
    ]
    return Model(given, ends)


def flattened_chain() -> Model:
    chain = [
        layers.Input((6, 5, 3)),
        layers.Conv2D(4, 2, padding="same"),
        layers.Flatten(),
        layers.Dropout(0.5),
        layers.BatchNormalization(),
        layers.ReLU(),
        layers.PReLU(),
        layers.Dense(7, activation="tanh"),
        layers.BatchNormalization(),
        layers.Dense(3, activation="softmax", name="predictions"),
    ]
    return Sequential(chain)


def flattened_uses() -> Model:
    given = layers.Input((4, 5, 3))
    flat = layers.Flatten()(given)
    vector = layers.Flatten()(layers.AveragePooling2D((4, 5))(given))
    ends = [
        layers.Dropout(0.2)(flat),
        layers.Concatenate()([flat, vector]),
        layers.Reshape((4, 5, 3))(flat),
        layers.Softmax()(flat),
        layers.Add()([flat, flat]),
    ]
    return Model(given, ends)


def moved() -> Model:
    given = layers.Input((4, 6, 3))
    x = layers.Conv2D(8, 1)(given)
    rows = layers.Reshape((-1, 8))(x)
    shuffled = layers.Reshape((4, 6, 8))(layers.Permute((1, 2, 4, 3))(layers.Reshape((4, 6, 2, 4))(x)))
    ends = [
        rows,
        layers.Permute((2, 1))(rows),
        layers.Permute((3, 1, 2))(x),
        layers.Permute((2, 1, 3))(x),
        shuffled,
        layers.Reshape((6, 8, 4))(x),
        layers.Dense(5, activation="relu")(rows),
        layers.Dense(5)(x),
        layers.BatchNormalization()(layers.Dense(4)(rows)),
        layers.BatchNormalization()(rows),
        layers.Softmax()(rows),
        layers.Concatenate(axis=1)([rows, rows]),
    ]
    return Model(given, ends)


def merged() -> Model:
    given = layers.Input((5, 6, 3))
    a, b, c = (layers.Conv2D(4, 3, padding="same", name=name)(given) for name in "abc")
    pixel = layers.GlobalAveragePooling2D(keepdims=True)(a)
    vector = layers.GlobalAveragePooling2D()(b)
    gate = layers.Dense(4, activation="sigmoid")(layers.Reshape((1, 1, 4))(vector))
    ends = [
        layers.Add()([a, b, c]),
        layers.Subtract()([a, b]),
        layers.Multiply()([a, gate]),
        layers.Multiply()([pixel, b]),
        layers.Multiply()([vector, c]),
        layers.Average()([a, b, c]),
        layers.Maximum()([a, b]),
        layers.Minimum()([a, b, c]),
        layers.Concatenate()([a, b]),
        layers.Concatenate(axis=1)([a, c]),
        layers.Concatenate(axis=-2)([a, c]),
        layers.Concatenate()([vector, vector]),
    ]
    return Model(given, ends)


def activation_names() -> Model:
    given = layers.Input((4, 5, 3))
    ends = [layers.Activation(name, name=f"as_layer_{name}")(given) for name in NAMED_ACTIVATIONS]
    ends += [layers.Conv2D(2, 1, activation=name, name=f"behind_{name}")(given) for name in NAMED_ACTIVATIONS]
    ends += [layers.Dense(3, activation=name, name=f"dense_{name}")(layers.Flatten()(given)) for name in ("softmax", "gelu")]
    return Model(given, ends)


def activation_layers() -> Model:
    given = layers.Input((4, 5, 3))
    ends = [
        layers.ReLU()(given),
        layers.ReLU(max_value=6)(given),
        layers.ReLU(negative_slope=0.2)(given),
        layers.ReLU(negative_slope=0.2, max_value=1.5)(given),
        layers.ReLU(threshold=0.5)(given),
        layers.ReLU(threshold=0.5, negative_slope=0.1, max_value=2)(given),
        layers.LeakyReLU()(given),
        layers.LeakyReLU(negative_slope=0.05)(given),
        layers.ELU(alpha=0.7)(given),
        layers.PReLU()(given),
        layers.PReLU(shared_axes=[1, 2])(given),
        layers.Softmax()(given),
        layers.Softmax(axis=1)(given),
        layers.Softmax(axis=[2])(given),
        layers.Conv2D(3, 1, activation=layers.LeakyReLU(negative_slope=0.1))(given),
    ]
    return Model(given, ends)


def scaled() -> Model:
    x = given = layers.Input((6, 6, 3))
    x = layers.RandomFlip()(x)
    x = layers.RandomRotation(0.1)(x)
    x = layers.RandomZoom(0.1)(x)
    x = layers.RandomContrast(0.1)(x)
    x = layers.Resizing(6, 6)(x)
    x = layers.Rescaling(1 / 127.5, offset=-1)(x)
    x = layers.Normalization(name="learnt")(x)
    x = layers.Normalization(mean=[0.1, 0.2, 0.3], variance=[1.0, 2.0, 3.0])(x)
    x = layers.Rescaling([1.0, 0.5, 0.25])(x)
    x = layers.GaussianNoise(0.1)(layers.SpatialDropout2D(0.1)(layers.GaussianDropout(0.1)(x)))
    x = layers.ActivityRegularization(0.1)(layers.AlphaDropout(0.1)(layers.Identity()(x)))
    return Model(given, layers.Conv2D(2, 3)(x))


def nested() -> Model:
    backbone = Sequential(
        [layers.Input((8, 8, 3)), layers.Conv2D(4, 3, name="conv"), layers.BatchNormalization(name="norm"), layers.ReLU()],
        name="backbone",
    )
    backbone.layers[1].trainable = False  # a frozen layer's arrays come late in .h5
    inner = layers.Input((6, 6, 4))
    head_end = layers.Conv2D(5, 3, name="conv")(inner)
    block = Sequential([layers.Input((4, 4, 5)), layers.Conv2D(5, 1), layers.BatchNormalization()], name="block")
    head = Model(inner, [block(head_end), layers.GlobalMaxPooling2D()(head_end)], name="head")
    given = layers.Input((8, 8, 3))
    flipped = layers.Conv2D(3, 1, name="mix")(given)
    first, second = backbone(given), backbone(flipped)
    one, two = head(first)
    three, four = head(layers.Add()([first, second]))
    return Model(given, [layers.Add()([one, three]), layers.Concatenate()([two, four]), three])


def transfer() -> Model:
    base = keras.applications.MobileNetV2((32, 32, 3), alpha=0.35, weights=None, include_top=False)
    base.trainable = False
    return Sequential([base, layers.GlobalAveragePooling2D(), layers.Dropout(0.2), layers.Dense(3)])


def operations() -> Model:
    given = layers.Input((5, 5, 3))
    x = layers.Conv2D(4, 1)(given)
    gate = ops.relu6(x + 3.0) * (1.0 / 6.0)
    y = layers.Add(name="layer_among_functions")([x * gate, ops.relu(x) - x / 2.0])
    return Model(given, layers.Conv2D(2, 1, name="last")(ops.sigmoid(1.0 - y)))


def channels_first() -> Model:
    first = {"data_format": "channels_first"}
    x = given = layers.Input((3, 9, 8))
    x = layers.Conv2D(4, 3, padding="same", **first)(x)
    x = layers.BatchNormalization(axis=1)(x)
    x = layers.ReLU()(x)
    y = layers.PReLU(shared_axes=[2, 3])(x)
    x = layers.Concatenate(axis=1)([x, y])
    x = layers.BatchNormalization(axis=1)(x)
    x = layers.ZeroPadding2D(1, **first)(x)
    x = layers.DepthwiseConv2D(3, **first)(x)
    x = layers.MaxPooling2D(2, padding="same", **first)(x)
    x = layers.UpSampling2D(2, **first)(x)
    flat = layers.Dense(3)(layers.Flatten(**first)(x))
    return Model(given, [flat, layers.GlobalAveragePooling2D(**first)(x), layers.Softmax(axis=1)(x)])


def gray() -> Model:
    chain = [layers.Input((8, 8, 1)), layers.Conv2D(4, 3, activation="relu"), layers.Flatten(), layers.Dense(2)]
    return Sequential(chain)


def any_size() -> Model:
    given = layers.Input((None, None, 3))
    return Model(given, layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3, strides=2, padding="same")(given)))


SMALL: dict[str, Callable[[], Model]] = {
    function.__name__: function
    for function in (
        activation_layers,
        activation_names,
        any_size,
        channels_first,
        convolutions,
        depthwise,
        flattened_chain,
        flattened_uses,
        gray,
        merged,
        moved,
        nested,
        operations,
        pools,
        scaled,
        sizes,
        transfer,
        transposed,
    )
}
APPLICATIONS: dict[str, tuple[int, dict[str, object]]] = {
    "MobileNet": (64, {"alpha": 0.25}),
    "MobileNetV2": (64, {"alpha": 0.35}),
    "MobileNetV3Small": (64, {"alpha": 0.75}),
    "EfficientNetB0": (64, {}),
    "EfficientNetV2B0": (64, {}),
    "ResNet50": (64, {}),
    "ResNet50V2": (64, {}),
    "DenseNet121": (64, {}),
    "InceptionV3": (96, {}),
    "Xception": (96, {}),
    "NASNetMobile": (64, {}),
    "VGG16": (48, {}),
}


def application(name: str) -> Model:
    size, settings = APPLICATIONS[name]
    return getattr(keras.applications, name)(
        input_shape=(size, size, 3), weights=None, classes=10, classifier_activation=None, **settings
    )


def randomise(model: Model, rng: np.random.Generator, spread: float) -> None:
    """Give every array values that matter: statistics and scales near 1, so that deep networks stay in range."""
    for layer in list_layers(model):
        arrays = []
        for variable in layer.weights:
            noise = rng.standard_normal(variable.shape)
            if variable.ndim > 1:
                arrays.append(noise * spread / np.sqrt(np.prod(variable.shape[:-1])))
            elif any(word in variable.path for word in ("gamma", "variance")):
                arrays.append(np.abs(1 + 0.2 * noise))
            else:
                arrays.append(0.2 * noise)
        if arrays:
            layer.set_weights(arrays)
            if hasattr(layer, "finalize_state"):
                layer.finalize_state()


def list_layers(model: Model) -> list[layers.Layer]:
    found = []
    for layer in model.layers:
        found += list_layers(layer) if hasattr(layer, "layers") else [layer]
    return found


def write_model(name: str, model: Model, folder: Path, rng: np.random.Generator, spread: float) -> None:
    randomise(model, rng, spread)
    shape = tuple(side or 20 for side in model.inputs[0].shape[1:])
    top = 255.0 if name in ("scaled",) or name.startswith(("EfficientNet", "MobileNetV3")) else 2.0
    batch = rng.uniform(-2.0 if top == 2.0 else 0.0, top, (3, *shape)).astype(np.float32)
    outputs = keras.tree.flatten(model(batch, training=False))
    arrays = {f"output{index}": keras.ops.convert_to_numpy(output) for index, output in enumerate(outputs)}
    np.savez(folder / f"{name}.npz", batch=batch, **arrays)
    model.save(folder / f"{name}.keras")
    model.save(folder / f"{name}.h5")


def main() -> None:
    for line in sys.stdin:
        kind, folder = line.rstrip("\n").split(" ", 1)
        keras.backend.clear_session()  # names of layers count from the start, as in a process of its own
        rng = np.random.default_rng(0)
        if kind == "small":
            for name, build in SMALL.items():
                write_model(name, build(), Path(folder), rng, spread=1.0)
        else:
            write_model(kind, application(kind), Path(folder), rng, spread=1.4)
        sys.stdout.write(f"{kind}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
