"""TEMPORARY by the lead, replace wholly."""
import numpy as np
def brief(p, l, *, multi_label):
    return {"loss": float(-np.log(np.clip(p[np.arange(len(l)), l],1e-7,1)).mean()), "accuracy": float((p.argmax(-1)==l).mean())}
