import csv
import io

import numpy as np
import pandas as pd

from tasks.evaluate.evaluation import HeldOut
from tasks.evaluate.plots import confusion_csv, history_csv


def test_history_has_one_row_per_epoch_and_only_what_is_plotted():
    epochs = [{"epoch": 1, "train_loss": 2.5, "val_loss": 2.0, "val_accuracy": 0.25, "other": 9}]
    assert history_csv(epochs) == "epoch,train_loss,val_loss,val_accuracy\n1,2.5,2.0,0.25\n"


def test_confusion_has_one_row_per_image_and_survives_awkward_labels():
    classes = ("=cmd|' /C calc'!A0", 'a "b", c')
    split = HeldOut(pd.DataFrame(), np.array([0, 1]), classes, None)
    text = confusion_csv(split, np.array([[0.1, 0.9], [0.2, 0.8]]))
    rows = list(csv.reader(io.StringIO(text)))
    assert rows == [["actual", "predicted"], ["'" + classes[0], classes[1]], [classes[1], classes[1]]]
