"""Everything that reads what comes from outside, each with valid inputs and the changes that make them hostile.

A parser is made in a folder of its own. It reads one content at a time, and raises a KtseError for what it refuses.
"""

from __future__ import annotations

from fuzz_base import Parser
from fuzz_masks import CocoMasks, Cvat, Labelme, LabelStudio, MaskPictures, Voc, Yolo, YoloLabels
from fuzz_models import CamModels, Features, Models, Onnx, Params, Pth
from fuzz_runs import Arrays, Confidences, Journal, Recipes, RecipeText, Requests, RunFiles, Settings
from fuzz_tags import CocoTags, Csv, Json, JsonLines, Lists, Photos, PngPhotos, SplitList, Tsv

PARSERS: dict[str, type[Parser]] = {
    "csv": Csv,
    "tsv": Tsv,
    "list": Lists,
    "json": Json,
    "json-lines": JsonLines,
    "coco-tags": CocoTags,
    "lists-of-names": SplitList,
    "coco-masks": CocoMasks,
    "mask-pictures": MaskPictures,
    "cvat": Cvat,
    "label-studio": LabelStudio,
    "labelme": Labelme,
    "yolo": Yolo,
    "yolo-labels": YoloLabels,
    "voc-xml": Voc,
    "photos": Photos,
    "png-photos": PngPhotos,
    "npz": Arrays,
    "recipes": Recipes,
    "recipe-text": RecipeText,
    "settings": Settings,
    "confidences": Confidences,
    "journal": Journal,
    "run-json": RunFiles,
    "requests": Requests,
    "features": Features,
    "models": Models,
    "cam-models": CamModels,
    "pth": Pth,
    "params": Params,
    "onnx": Onnx,
}
