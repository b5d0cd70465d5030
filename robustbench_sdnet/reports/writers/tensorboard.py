"""A report for TensorBoard: one file of events, equal for equal answers; curves count steps along their axis."""

from __future__ import annotations

import io
import json
import struct
from typing import Any

from ...answers.snapshot import Snapshot
from ..plots import style
from ..tracked import Curve, tag, tracked
from .markdown import escape, table_lines


def render(snapshot: Snapshot) -> bytes:
    """The events, without times and hosts: scalars for curves, images for figures, texts for tables and parameters."""
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.summary.writer.record_writer import RecordWriter

    found, buffer = tracked(snapshot), io.BytesIO()
    writer = RecordWriter(buffer)
    writer.write(Event(file_version="brain.Event:2").SerializeToString())

    def add(value: Any, step: int = 0) -> None:
        writer.write(Event(step=step, summary={"value": [value]}).SerializeToString())

    add(_text("parameters", "    " + json.dumps(found.parameters, indent=2).replace("\n", "\n    ")))
    for sentence_number, sentence in enumerate(found.document.lead):
        add(_text("what it comes to", escape(sentence)), sentence_number)
    for curve in found.curves:
        for position, accuracy in curve.points:
            add(_scalar(curve, accuracy), round(curve.scale * position))
    for name, table in found.tables:
        add(_text(f"tables/{name}", "\n".join(table_lines(table))))
    for figure in found.document.figures:
        add(_image(f"figures/{tag(figure.name)}", style.to_png(figure.draw())))
    return buffer.getvalue()


def _scalar(curve: Curve, accuracy: float) -> Any:
    from tensorboard.compat.proto.summary_pb2 import Summary

    return Summary.Value(tag=curve.tag, simple_value=accuracy)


def _text(name: str, markdown: str) -> Any:
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.compat.proto.tensor_pb2 import TensorProto
    from tensorboard.plugins.text.metadata import create_summary_metadata

    tensor = TensorProto(
        dtype="DT_STRING", string_val=[markdown.encode()], tensor_shape={"dim": [{"size": 1}]}
    )
    return Summary.Value(tag=name, metadata=create_summary_metadata(name, ""), tensor=tensor)


def _image(name: str, png: bytes) -> Any:
    from tensorboard.compat.proto.summary_pb2 import Summary

    width, height = struct.unpack(">II", png[16:24])  # the first chunk of every PNG
    image = Summary.Image(height=height, width=width, colorspace=4, encoded_image_string=png)
    return Summary.Value(tag=name, image=image)
