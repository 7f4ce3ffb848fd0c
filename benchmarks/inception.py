"""CPU time of InceptionTime in channels-last and of the same network layer by layer, on one thread; and of training
steps of XceptionTime and InceptionTime.

    python benchmarks/inception.py
"""
import copy, statistics as st, time
import torch
import network
from xceptiontime.models.inception import InceptionTime
from xceptiontime.models.xceptiontime import XceptionTime

def seconds(f):
    start = time.process_time()
    f()
    return time.process_time()-start

torch.set_num_threads(1)
print('series x channels x steps |  | ours, ms | layers, ms | ratio')
for shape in ((64,1,150), (64,3,256), (16,12,512)):
    torch.manual_seed(0)
    m,x = InceptionTime(shape[1], 6),torch.randn(shape)
    layers = copy.deepcopy(m)
    layers.as_built = None # every layer is called
    for train in (True,False):
        def run(m):
            m.train(train)
            with torch.set_grad_enabled(train): y = m(x)
            if train: y.sum().backward()
        turns = [[seconds(lambda: run(o)) for o in (m,layers)] for _ in range(8)][1:]
        ours,theirs = (st.median(t)*1e3 for t in zip(*turns))
        ratio = st.median(a/b for a,b in turns)
        kind = 'training step' if train else 'evaluation'
        print(*shape, kind, f'{ours:.1f} {theirs:.1f} {ratio:.2f}', sep=' | ')

print('\nseries x channels x steps | XceptionTime, ms | InceptionTime, ms | ratio')
network.clock = time.process_time
for shape,n in (((16,1,24),40), ((16,1,150),12), ((16,1,570),8), ((64,1,150),8), ((64,3,256),6)):
    x,y = network.data(*shape)
    steps = [network.stepper(arch(shape[1], 6), x, y) for arch in (XceptionTime, InceptionTime)]
    (ours,theirs),_ = network.turns(steps, n)
    ratio = st.median(a/b for a,b in zip(ours, theirs))
    print(*shape, f'{st.median(ours)*1e3:.1f} {st.median(theirs)*1e3:.1f} {ratio:.2f}', sep=' | ')
