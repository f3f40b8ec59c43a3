"""What a frozen backbone sees in an image, computed once and kept."""
