"Milliseconds of one prediction for one series, over a bare forward of the same network, as a ratio to it, and with a network that computes nothing; alternating, medians. Run: python benchmarks/predict.py"
import statistics, time
import numpy as np, torch
from xceptiontime.models.xceptiontime import XceptionTime
from xceptiontime.processing.preprocess import Preprocess
from xceptiontime.runtime.predictor import Predictor
from xceptiontime.processing.tasks import Classification,Regression

def ms(f):
    start = time.perf_counter()
    f()
    return (time.perf_counter()-start)*1e3

class Nothing(torch.nn.Module):
    "Has the modules of `model` and computes nothing: what is left is the Predictor's own"
    def __init__(self, model):
        super().__init__()
        self.model = model
    def forward(self, x): return x.new_zeros(len(x), self.model.init_args['c_out'])

def main(rounds=200):
    print(f'{"series":>12} {"task":15} {"forward ms":>11} {"predict ms":>11} {"over ms":>8} {"own ms":>7} {"limit":>6} {"proba/forward":>14} {"limit":>6}')
    for c_in,length in ((1,150),(8,40),(3,256),(12,512)):
        X = np.random.default_rng(0).normal(size=(20,c_in,length)).astype(np.float32)
        for task in (Classification(['rest','fist']), Regression(0., 1.)):
            p = Predictor(XceptionTime(c_in, task.c_out).eval(), task, Preprocess().fit(X))
            x = torch.from_numpy(X[:1])
            def bare():
                with torch.inference_mode(): p.model(x)
            q = Predictor(Nothing(p.model).eval(), task, p.preprocess)
            proba = p.predict if task.vocab is None else p.predict_proba
            for f in (bare, lambda: p.predict(X[:1]), lambda: q.predict(X[:1])): [f() for _ in range(10)]
            times = [(ms(bare), ms(lambda: p.predict(X[:1])), ms(lambda: q.predict(X[:1])), ms(lambda: proba(X[:1]))) for _ in range(rounds)]
            b,o,own,_ = (statistics.median(t) for t in zip(*times))
            ratio = statistics.median(t[3]/t[0] for t in times)
            print(f'{f"{c_in} x {length}":>12} {task.name:15} {b:11.2f} {o:11.2f} {statistics.median(t[1]-t[0] for t in times):8.2f} {own:7.2f} {3:6} {ratio:14.2f} {1.3:6}')

if __name__=='__main__': main()
