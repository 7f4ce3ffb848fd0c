"""Milliseconds of ONNX Runtime and of torch for one window and for 64, with the default network of `ts_learner`:
medians over alternating turns. Run: python benchmarks/export.py [threads]"""
import sys, tempfile, time
from pathlib import Path
from statistics import median
import numpy as np
import onnxruntime
import torch
from xceptiontime.models.xceptiontime import XceptionTime
from xceptiontime.processing.preprocess import Preprocess
from xceptiontime.processing.tasks import Classification
from xceptiontime.runtime import Predictor
from xceptiontime.runtime.export import export_onnx

def ms(f, x):
    start = time.perf_counter()
    f(x)
    return (time.perf_counter()-start)*1e3

def exported(predictor, threads):
    "An ONNX session of `predictor`, and the seconds of the export"
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    with tempfile.TemporaryDirectory() as d:
        start = time.perf_counter()
        path = str(export_onnx(predictor, Path(d)/'a.onnx'))
        seconds = time.perf_counter()-start
        return onnxruntime.InferenceSession(path, options, providers=['CPUExecutionProvider']), seconds

def compare(predictor, session, x, rounds):
    "Milliseconds of torch and of ONNX Runtime, their ratio, and the largest difference"
    def onnx(x): return session.run(None, {'x': x})[0]
    for _ in range(3): diff = np.abs(predictor.predict_proba(x)-onnx(x)).max()
    times = [(ms(predictor.predict_proba, x),ms(onnx, x)) for _ in range(rounds)]
    t,o = (median(c) for c in zip(*times))
    return t, o, median(b/a for a,b in times), diff

def main(threads=1, rounds=21):
    torch.set_num_threads(threads)
    rng = np.random.default_rng(0)
    print(f"{threads} thread{'s'*(threads>1)}")
    print(f"{'series':>14}{'torch':>9}{'ONNX Runtime':>14}{'ratio':>7}{'seconds to export':>19}{'difference':>12}")
    for channels,length in ((3,256),(8,40)):
        preprocess = Preprocess().fit(rng.normal(size=(64,channels,length)).astype(np.float32))
        model = XceptionTime(channels, 5, head='linear').eval()
        predictor = Predictor(model, Classification(range(5)), preprocess)
        session,seconds = exported(predictor, threads)
        for n in (1,64):
            x = rng.normal(size=(n,channels,length)).astype(np.float32) # (series, channels, length)
            t,o,ratio,diff = compare(predictor, session, x, rounds)
            name = f'{n} x {channels} x {length}'
            print(f'{name:>14}{t:9.1f}{o:14.1f}{ratio:7.2f}{seconds:19.1f}{diff:12.0e}', flush=True)

if __name__=='__main__': main(*map(int, sys.argv[1:]))
