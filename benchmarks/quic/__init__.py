"""Request and reply over QUIC, beside the bare engines and other libraries: ``python -m benchmarks.quic``."""
