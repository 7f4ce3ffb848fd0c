"""Time and memory of XceptionTime on the CPU, beside tsai's network if it is installed.

    python benchmarks/network.py            # the whole table
    python benchmarks/network.py --quick    # fewer repetitions, no growth

    python benchmarks/network.py --cpu-time # on a busy machine: processor time of one thread

The two alternate in one process, and a ratio is the median over turns. The bound is the time of the network's
multiplications at the rate of a 1024 x 1024 matrix product, measured between the turns; the share is the bound over
the time. Peak memory is the memory that a step adds, in a separate process.
"""
import argparse, copy, importlib.util, platform, resource, statistics as st, subprocess, sys, time
import torch
from torch.nn import functional as F
from xceptiontime.models.ensemble import Ensemble
from xceptiontime.models.xceptiontime import XceptionTime
from xceptiontime.processing.tasks import Classification

SHAPES = [(64,1,150), (64,3,256), (16,12,512), (1,3,256)] # series, channels, steps

def multiplications(c_in, L, nf=16, c_out=6, ks=67, size=50):
    "Multiply-adds of one series forward: modules and shortcuts at every step, the head at `size` of them"
    total,ni = 0,c_in
    for i in range(4):
        n = nf*2**i
        total += 2*ni*n + ks*n + 3*n*n # bottleneck and pooled path, depthwise, pointwise
        ni = 4*n
    return L*(total + c_in*8*nf + 8*nf*32*nf) + size*(32*nf*16*nf + 16*nf*8*nf + 8*nf*c_out)

def network(name, c_in):
    torch.manual_seed(0)
    if name=='ours': return XceptionTime(c_in, 6)
    from tsai.models.XceptionTime import XceptionTime as Reference
    return Reference(c_in, 6)

def data(bs, c_in, L): return torch.randn(bs, c_in, L),torch.randint(0, 6, (bs,))

def stepper(m, x, y, loss=F.cross_entropy):
    opt = torch.optim.Adam(m.parameters(), 1e-3)
    def step():
        opt.zero_grad()
        loss(m(x), y).backward()
        opt.step()
    return step

def evaluator(m, x):
    m = copy.deepcopy(m).eval()
    def evaluate():
        with torch.no_grad(): m(x)
    return evaluate

clock = time.perf_counter

def seconds(f):
    start = clock()
    f()
    return clock()-start

def rate(a=torch.randn(1024, 1024)):
    "Multiply-adds per second of a matrix product"
    return 1024**3/min(seconds(lambda: a@a) for _ in range(5))

def turns(fs, n):
    """Seconds of each of `fs` in `n` turns, and the median rate between them.

    Each is called once before, so that all find the same caches; the order changes between turns.
    """
    times,rates = [],[]
    for i in range(n):
        turn = [(f(), seconds(f))[1] for f in (fs[::-1] if i%2 else fs)]
        times.append(turn[::-1] if i%2 else turn)
        rates.append(rate())
    return list(zip(*times)),st.median(rates)

def high_water():
    "Peak MB of this process; on Linux from /proc, as getrusage includes the parent's peak there"
    if sys.platform!='linux':
        unit = 2**20 if sys.platform=='darwin' else 2**10
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss/unit
    return next(int(l.split()[1]) for l in open('/proc/self/status') if l.startswith('VmHWM'))/1024

def peak(name, shape):
    "MB that a few training steps add to the process"
    x,y = data(*shape)
    step = stepper(network(name, shape[1]), x, y)
    torch.randn(8, 8)@torch.randn(8, 8)
    before = high_water()
    for _ in range(3): step()
    return high_water()-before

def peak_elsewhere(name, shape):
    command = [sys.executable, __file__, '--peak', name, *map(str, shape)]
    run = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(run.stdout.split()[-1])

def kinds(ms, x, y):
    "(name, passes over the network, functions to time) of training, evaluation, and evaluation of a fused network"
    yield 'training step', 3, [stepper(m, x, y) for m in ms]
    yield 'evaluation', 1, [evaluator(m, x) for m in ms]
    yield 'evaluation, fused', 1, [evaluator(m, x) for m in (ms[0].fuse(), *ms[1:])]

def line(*cells): print('| '+' | '.join(map(str, cells))+' |', flush=True)

def head(*names, left=1):
    "The first two lines of a table; all columns after the first `left` are numbers"
    line(*names)
    line(*['---']*left, *['--:']*(len(names)-left))

def table(names, shapes, n):
    head('series x channels x steps', '', 'ours, ms', 'tsai, ms', 'ratio', 'bound, ms', 'share', left=2)
    for shape in shapes:
        x,y = data(*shape)
        ms = [network(name, shape[1]) for name in names]
        for kind,passes,fs in kinds(ms, x, y):
            times,r = turns(fs, n*4 if shape[0]==1 else n)
            ours = st.median(times[0])
            bound = passes*shape[0]*multiplications(shape[1], shape[2])/r
            theirs,ratio = '',''
            if len(ms)==2:
                theirs = f'{st.median(times[1])*1e3:.1f}'
                ratio = f'{st.median(a/b for a,b in zip(*times)):.2f}'
            share = f'{bound/ours:.2f}'
            line(' x '.join(map(str, shape)), kind, f'{ours*1e3:.1f}', theirs, ratio, f'{bound*1e3:.1f}', share)

def memory(names, shapes):
    print()
    head('series x channels x steps', *(f'{n}, MB' for n in names))
    for shape in shapes:
        line(' x '.join(map(str, shape)), *(f'{peak_elsewhere(n, shape):.0f}' for n in names))

def ensembles(shapes, n):
    "A training step of five networks as one model, of one network, and of five one after another"
    print()
    head('series x channels x steps', 'one network, ms', 'five as one, ms', 'five apart, ms', 'as one / apart')
    loss = Classification(range(6)).loss_func
    for shape in shapes:
        x,y = data(*shape)
        apart = [stepper(network('ours', shape[1]), x, y) for _ in range(5)]
        as_one = stepper(Ensemble([network('ours', shape[1]) for _ in range(5)]), x, y, loss)
        def one_by_one(): return [step() for step in apart]
        times,_ = turns([apart[0], as_one, one_by_one], n)
        ratio = st.median(a/b for a,b in zip(*times[1:]))
        line(' x '.join(map(str, shape)), *(f'{st.median(t)*1e3:.1f}' for t in times), f'{ratio:.2f}')

GROWTH = (4,100), (4,300), (4,1000), (4,3000), (4,10000), (4,20000), (1,1000), (16,1000), (64,1000) # series, steps

def growth(n):
    print()
    each = 'us a step and series'
    head('series', 'steps', 'training step, ms', each, 'evaluation, ms', each, 'memory, MB', left=0)
    for bs,L in GROWTH:
        x,y = data(bs, 3, L)
        m = network('ours', 3)
        times = [st.median(turns([f], n)[0][0]) for f in (stepper(m, x, y), evaluator(m, x))]
        cells = [c for t in times for c in (f'{t*1e3:.1f}', f'{t*1e6/bs/L:.1f}')]
        line(bs, L, *cells, f'{peak_elsewhere("ours", (bs,3,L)):.0f}')

def processor():
    if sys.platform!='linux': return platform.processor()
    lines = open('/proc/cpuinfo').read().splitlines()
    return next((l.split(':')[1].strip() for l in lines if l.startswith('model name')), '')

def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument('--quick', action='store_true', help='fewer repetitions, no growth')
    p.add_argument('--cpu-time', action='store_true', help='one thread, the time it computed: for a busy machine')
    p.add_argument('--shape', type=int, nargs=3, action='append', metavar=('SERIES','CHANNELS','STEPS'),
                   help='instead of the four')
    p.add_argument('--peak', nargs=4, help=argparse.SUPPRESS)
    args = p.parse_args()
    if args.peak: return print(peak(args.peak[0], tuple(map(int, args.peak[1:]))))
    if args.cpu_time:
        global clock
        clock = time.process_time
        torch.set_num_threads(1)
    names = ['ours'] + ['tsai']*(importlib.util.find_spec('tsai') is not None)
    shapes = [tuple(s) for s in args.shape] if args.shape else SHAPES
    speed = f'{2*rate()/1e9:.0f} GFLOP/s in a matrix product'
    print(f'{processor()}, {torch.get_num_threads()} threads, torch {torch.__version__}, {speed}\n')
    table(names, shapes, 3 if args.quick else 9)
    memory(names, shapes)
    ensembles(shapes, 3)
    if not args.quick: growth(3)

if __name__=='__main__': main()
