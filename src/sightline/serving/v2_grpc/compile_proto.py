"""Make the `.binpb` of each `.proto` here: `python -m sightline.serving.v2_grpc.compile_proto`, which needs grpcio-tools.

The server reads the compiled descriptors and makes its message classes from them, so no generated code is kept, and clients'
own generated code of the same package can live in the same process.
"""

import importlib.util
import subprocess
import sys
from importlib import resources
from pathlib import Path
from tempfile import TemporaryDirectory

from sightline.core.errors import InvalidInput, MissingPackage

PROTOS = tuple(Path(__file__).with_name(name) for name in ("inference.proto", "health.proto"))


def compile_proto(proto: Path) -> bytes:
    """A serialised `FileDescriptorSet` of one file, without its comments.

    The compiler runs in a process of its own: beside TensorFlow, which brings another protobuf library, it ends the process.

    Raises: MissingPackage without grpcio-tools; InvalidInput for a file that does not compile; the compiler says why on stderr.
    """
    if importlib.util.find_spec("grpc_tools") is None:
        raise MissingPackage(f"compiling {proto.name} needs grpcio-tools; pip install grpcio-tools")
    with TemporaryDirectory() as folder:
        compiled = Path(folder) / "compiled.binpb"
        well_known = resources.files("grpc_tools") / "_proto"
        arguments = [f"-I{proto.parent}", f"-I{well_known}", f"--descriptor_set_out={compiled}", str(proto)]
        if subprocess.run([sys.executable, "-m", "grpc_tools.protoc", *arguments], check=False).returncode:
            raise InvalidInput(f"{proto.name} does not compile; mend what the compiler named")
        return compiled.read_bytes()


if __name__ == "__main__":
    for path in PROTOS:
        path.with_suffix(".binpb").write_bytes(compile_proto(path))
