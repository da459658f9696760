"""Makes SavedModels the way other people's code does, each as version folders under one folder.

    python foreign_models.py FOLDER

It runs in a process of its own: a distribution strategy over two logical CPUs can be set up only before TensorFlow has
begun. What each model answers is simple enough to be said in a sentence:

- half_plus_two: written with TF1 and reference variables; x/2 + 2, as Predict, Classify and Regress; and x/2 + 3.
- keras: `model.export` of a dense layer; (a + 2b + 3c, -a - b - c + 0.5).
- words: texts in; their upper case, their number in a table of three words (-1 for others), and their bytes.
- mirrored: saved under a MirroredStrategy; 3x + 1.
- slow: echoes `seconds` after so many seconds.
- shapes: sums of a [-1, 3] input and types that JSON has, or lacks.
"""

import sys
from pathlib import Path

import numpy as np
import tensorflow as tf

v1 = tf.compat.v1


def write_half_plus_two(folder: Path) -> None:
    """As tensorflow/serving's own saved_model_half_plus_two.py: reference variables, a Saver, an asset."""
    asset = folder.parent / "foo.txt"
    asset.parent.mkdir(parents=True, exist_ok=True)
    asset.write_text("asset-file-contents")
    with tf.Graph().as_default(), v1.Session() as session:
        a = v1.Variable(0.5, name="a", use_resource=False)
        b = v1.Variable(2.0, name="b", use_resource=False)
        c = v1.Variable(3.0, name="c", use_resource=False)
        serialized = v1.placeholder(tf.string, name="tf_example")
        features = v1.parse_example(serialized, {"x": v1.FixedLenFeature([1], dtype=tf.float32)})
        x = tf.identity(features["x"], name="x")
        y, y2 = tf.add(tf.multiply(a, x), b, name="y"), tf.add(tf.multiply(a, x), c, name="y2")
        file = tf.constant(str(asset), name="asset_file")
        v1.add_to_collection(v1.GraphKeys.ASSET_FILEPATHS, file)
        original = v1.Variable(file, name="filename_tensor", trainable=False, collections=[])
        v1.add_to_collection("assets_init", original.initializer)
        session.run(v1.global_variables_initializer())
        signatures = v1.saved_model.signature_def_utils
        info = v1.saved_model.build_tensor_info

        def regress(output: tf.Tensor) -> object:
            return signatures.build_signature_def(
                {"inputs": info(serialized)}, {"outputs": info(output)}, "tensorflow/serving/regress"
            )

        builder = v1.saved_model.Builder(str(folder))
        builder.add_meta_graph_and_variables(
            session,
            ["serve"],
            signature_def_map={
                "serving_default": signatures.build_signature_def(
                    {"x": info(x)}, {"y": info(y)}, "tensorflow/serving/predict"
                ),
                "classify_x_to_y": signatures.build_signature_def(
                    {"inputs": info(serialized)}, {"scores": info(y)}, "tensorflow/serving/classify"
                ),
                "regress_x_to_y": regress(y),
                "regress_x_to_y2": regress(y2),
            },
            assets_collection=v1.get_collection(v1.GraphKeys.ASSET_FILEPATHS),
            main_op=tf.group(original.initializer, v1.tables_initializer()),
        )
        builder.save()


def write_keras(folder: Path) -> None:
    model = tf.keras.Sequential([tf.keras.Input([3], name="features"), tf.keras.layers.Dense(2, name="dense")])
    model.set_weights([np.array([[1, -1], [2, -1], [3, -1]], np.float32), np.array([0, 0.5], np.float32)])
    model.export(str(folder), verbose=False)


class Words(tf.Module):
    def __init__(self, vocabulary: str) -> None:
        super().__init__()
        by_line = tf.lookup.TextFileInitializer(
            vocabulary, tf.string, tf.lookup.TextFileIndex.WHOLE_LINE, tf.int64, tf.lookup.TextFileIndex.LINE_NUMBER
        )
        self.table = tf.lookup.StaticHashTable(by_line, -1)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="words")])
    def look_up(self, words: tf.Tensor) -> dict[str, tf.Tensor]:
        return {
            "upper": tf.strings.upper(words, encoding="utf-8"),
            "number": self.table.lookup(words),
            "raw_bytes": tf.strings.join([words, tf.constant(b"\xff")]),
        }


def write_words(folder: Path) -> None:
    vocabulary = folder.parent / "vocabulary.txt"
    vocabulary.parent.mkdir(parents=True, exist_ok=True)
    vocabulary.write_text("zero\none\ntwo\n")
    words = Words(str(vocabulary))
    tf.saved_model.save(words, str(folder), signatures=words.look_up)
    vocabulary.unlink()  # the copy among the assets is the one that counts


class Slow(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="seconds")])
    def sleep(self, seconds: tf.Tensor) -> dict[str, tf.Tensor]:
        end = tf.timestamp() + tf.cast(tf.reduce_max(seconds), tf.float64)
        beats = tf.while_loop(lambda _: tf.timestamp() < end, lambda beats: [beats + 1.0], [0.0])[0]
        return {"seconds": seconds + 0 * beats}


class Shapes(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec([None, 3], tf.float32, name="x")])
    def add(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"sums": tf.linalg.matvec(x, tf.ones([3]))}

    @tf.function(
        input_signature=[
            tf.TensorSpec([None], tf.bool, name="flag"),
            tf.TensorSpec([None], tf.int32, name="small"),
            tf.TensorSpec([None], tf.int64, name="large"),
            tf.TensorSpec([None], tf.uint8, name="byte"),
            tf.TensorSpec([None], tf.float64, name="exact"),
            tf.TensorSpec([None], tf.string, name="text"),
        ]
    )
    def echo(self, flag, small, large, byte, exact, text):
        named = {"flag": flag, "small": small, "large": large, "byte": byte, "exact": exact, "text": text}
        return {name: tf.identity(value) for name, value in named.items()}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float16, name="half")])
    def half(self, half: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"half": tf.identity(half)}


def write_shapes(folder: Path) -> None:
    shapes = Shapes()
    tf.saved_model.save(
        shapes, str(folder), signatures={"serving_default": shapes.add, "echo": shapes.echo, "half": shapes.half}
    )


class Line(tf.Module):
    def __init__(self, strategy: tf.distribute.Strategy) -> None:
        super().__init__()
        with strategy.scope():
            self.slope, self.offset = tf.Variable(3.0), tf.Variable(1.0)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def call(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"y": self.slope * x + self.offset}


def write_mirrored(folder: Path) -> None:
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    line = Line(strategy)
    assert len(line.slope.values) == 2  # it is mirrored
    with strategy.scope():
        tf.saved_model.save(line, str(folder), signatures=line.call)


def main(folder: Path) -> None:
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    tf.config.set_visible_devices([], "GPU")
    write_half_plus_two(folder / "half_plus_two" / "00000123")
    write_keras(folder / "keras" / "1")
    write_words(folder / "words" / "1")
    slow = Slow()
    tf.saved_model.save(slow, str(folder / "slow" / "1"), signatures=slow.sleep)
    write_shapes(folder / "shapes" / "1")
    write_mirrored(folder / "mirrored" / "1")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
