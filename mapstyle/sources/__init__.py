"""Sources: files of geography in, typed layers out."""
