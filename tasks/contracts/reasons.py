"""The published ids that the `reasons` column of `data/checked.parquet` may hold.

The list is complete and stable: a reader may rely on it. An id is emitted once its check exists.
"""

REASONS: dict[str, str] = {
    # the file
    "empty": "the file has no bytes",
    "unreadable": "the file could not be opened or read",
    "not_a_file": "a device, socket, pipe or broken link",
    "leaves_folder": "a link that points outside the data folder",
    "not_an_image": "the bytes are no image of a format that graft reads",
    "unsupported_format": "an image, but of a format that is not on the allow-list",
    "truncated": "the image ends before all of its pixels",
    "damaged": "the decoder reports damage inside the image",
    "too_many_pixels": "the header promises more pixels than the cap",
    "too_many_bytes": "the file is larger than the cap",
    "changed_while_read": "the file changed while it was read",
    # the label
    "no_label": "the file has no label: it is in no class folder and not in the table",
    "missing_file": "the table names a file that is not there",
    "conflicting_labels": "the same image stands under two labels",
    "suspect_label": "the label is probably wrong",
    # the picture
    "odd_size": "smaller or larger than the limits, or than its class",
    "odd_aspect": "far longer than wide, or wider than long",
    "dark": "almost everything is black",
    "bright": "almost everything is white",
    "low_contrast": "the tones span almost nothing",
    "low_information": "almost one flat colour",
    "blurry": "no sharp edge anywhere",
    "greyscale": "no colour, in a class of colour images",
    "heavy_compression": "compressed until blocks show",
    "has_border": "a uniform border surrounds the picture",
    "outlier": "unlike the other images of its class",
    # its relation to others
    "duplicate": "byte for byte the same as an image that is kept",
    "near_duplicate": "almost the same as an image that is kept",
    "group_crosses_splits": "its declared group is in more than one split",
    "bridges_splits": "joins images that already are in different splits",
    # people
    "excluded": "a decision drops it",
    "relabelled": "a decision gave it another label",
}
