"""KTSE itself, as the paper tells it: erasing, transfer (SIE), regularisation (SSR), alignment (MGA), objective."""
