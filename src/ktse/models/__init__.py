"""The networks: backbones from timm, the CAM head, the segmentation model."""
