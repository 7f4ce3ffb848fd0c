"""Seconds of imports, and of a process that only predicts, over those of their base, in fresh processes:
medians over alternating turns. Run: python benchmarks/imports.py"""
import subprocess, sys, tempfile, time
from statistics import median

PREDICTS = """import numpy as np
from xceptiontime.runtime import Predictor
Predictor.from_pretrained({folder!r}).predict_proba(np.zeros((1,3,256), np.float32))"""

PAIRS = [('import torch', 'from xceptiontime.runtime import Predictor', 0.5), # base, ours, limit of the difference
         ('from fastai.basics import *', 'from xceptiontime.all import *', 0.5)]

def save(folder):
    "A network of the default width for series of 3 x 256, as a model folder"
    import numpy as np
    from xceptiontime.models.xceptiontime import XceptionTime
    from xceptiontime.processing.preprocess import Preprocess
    from xceptiontime.processing.tasks import Classification
    from xceptiontime.runtime import Predictor
    X = np.random.default_rng(0).normal(size=(20,3,256)).astype(np.float32)
    model = XceptionTime(3, 5, head='linear')
    predictor = Predictor(model, Classification(range(5)), Preprocess().fit(X))
    return str(predictor.save_pretrained(folder))

def seconds(code):
    start = time.perf_counter()
    subprocess.run([sys.executable, '-W', 'ignore', '-c', code], check=True)
    return time.perf_counter()-start

def main(rounds=7):
    with tempfile.TemporaryDirectory() as d:
        predicts = PREDICTS.format(folder=save(f'{d}/model'))
        measure([*PAIRS, ('import torch', predicts, 1.5)], rounds)

def measure(pairs, rounds):
    names = 'base','seconds','import','over base','limit'
    print('{0:30} {1:>8}   {2:45} {1:>8} {3:>10} {4:>6}'.format(*names))
    for base,ours,limit in pairs:
        for code in (base,ours): seconds(code) # warm the file cache
        times = [(seconds(base),seconds(ours)) for _ in range(rounds)]
        over = median(o-b for b,o in times)
        b,o = (median(t) for t in zip(*times))
        name = ours if '\n' not in ours else 'import, load and first prediction of 3 x 256'
        print(f'{base:30} {b:8.2f}   {name:45} {o:8.2f} {over:10.2f} {limit:6.1f}')

if __name__=='__main__': main()
