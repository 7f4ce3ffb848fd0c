"""Milliseconds of a prediction for one series: beyond a bare forward of the network, as a ratio to it, and with a
network that computes nothing. Medians over alternating turns. Run: python benchmarks/predict.py"""
import time
from statistics import median
import numpy as np
import torch
from xceptiontime.models.xceptiontime import XceptionTime
from xceptiontime.processing.preprocess import Preprocess
from xceptiontime.processing.tasks import Classification, Regression
from xceptiontime.runtime import Predictor

OWN,RATIO = 3,1.3 # limits: milliseconds of the Predictor alone, and the ratio of probabilities to a forward

def ms(f):
    start = time.perf_counter()
    f()
    return (time.perf_counter()-start)*1e3

class Nothing(torch.nn.Module):
    "Has the modules of `model` and computes nothing, so that only the Predictor takes time"
    def __init__(self, model):
        super().__init__()
        self.model = model
    def forward(self, x): return x.new_zeros(len(x), self.model.init_args['c_out'])

def measure(p, x, rounds):
    "Milliseconds of a bare forward, predict, predict of nothing, and probabilities, a row per round"
    q = Predictor(Nothing(p.model).eval(), p.task, p.preprocess)
    t = torch.from_numpy(x) # (1, channels, length)
    proba = p.predict if p.task.vocab is None else p.predict_proba
    def bare():
        with torch.inference_mode(): p.model(t)
    calls = bare,lambda: p.predict(x),lambda: q.predict(x),lambda: proba(x)
    for f in calls[:3]:
        for _ in range(10): f()
    return [[ms(f) for f in calls] for _ in range(rounds)]

def main(rounds=200):
    print(f'{"series":>12} {"task":15} {"forward ms":>11} {"predict ms":>11} {"over ms":>8} {"own ms":>7} '
          f'{"limit":>6} {"proba/forward":>14} {"limit":>6}')
    for c_in,length in ((1,150),(8,40),(3,256),(12,512)):
        X = np.random.default_rng(0).normal(size=(20,c_in,length)).astype(np.float32)
        for task in (Classification(['rest','fist']), Regression(0., 1.)):
            p = Predictor(XceptionTime(c_in, task.c_out).eval(), task, Preprocess().fit(X))
            times = measure(p, X[:1], rounds)
            bare,predict,own,_ = (median(t) for t in zip(*times))
            over,ratio = median(t[1]-t[0] for t in times),median(t[3]/t[0] for t in times)
            name = f'{c_in} x {length}'
            print(f'{name:>12} {task.name:15} {bare:11.2f} {predict:11.2f} {over:8.2f} {own:7.2f} '
                  f'{OWN:6} {ratio:14.2f} {RATIO:6}')

if __name__=='__main__': main()
