"""Control maps of a clip, one file a kind: what ControlNets and T2I-Adapters are shown of it.

    maker      which there are, what they are made with, and how one is loaded
    maps       what a map is, and what makers have in common
    canny      edges, by OpenCV             depth   near is bright, by transformers
    softedge   gradients, by OpenCV         pose    skeletons, by rtmlib
    mask       an object, by SAM 2          files   a folder of the manifest's

Each takes frames (F, H, W, 3) uint8 RGB and gives maps of the same shape and type.
"""
