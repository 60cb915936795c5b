"""A stand-in for torchvision's compiled operators where its wheel was built for another torch than is installed."""

from importlib.util import find_spec

_NAMES = ("nms", "qnms")  # those that torchvision asks for while it is imported
_kept: list[object] = []  # a library's definitions live as long as the library


def declare_missing_operators() -> None:
    """Make ``import torchvision``, which transformers does by itself, possible beside a torch of another build.

    torch for the CPU has no torchvision of its own on some package indexes. No operator is given a body: nothing here
    calls one.
    """
    if _kept or find_spec("torchvision") is None:
        return
    import torch

    try:
        import torchvision  # noqa: F401
    except RuntimeError:
        library = torch.library.Library("torchvision", "DEF")
        for name in _NAMES:
            library.define(f"{name}(Tensor input) -> Tensor")
        _kept.append(library)
