"""Protos that tensorflow-serving-api does not bring: of configuration files, and of the wire without TensorFlow.

`configs` parses text files into the first, the clients speak the second. The `_pb2` modules, and the `.pyi` that
describe them to a type checker, are made from the `.proto` files by `make protos`. That takes grpcio-tools 1.73 on
purpose: its code runs on every protobuf from 6.31 on, which is what tensorflow-serving-api asks for, while that of a
newer protoc refuses an older protobuf.
"""
