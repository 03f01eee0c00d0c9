"""Colours that can be told apart, also by colour-blind readers (Okabe and Ito), on light and dark ground."""

SERIES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C6BB1", "#7F7F7F")


def colour(index: int) -> str:
    """Return the colour of the n-th series; they repeat after eight."""
    return SERIES[index % len(SERIES)]
