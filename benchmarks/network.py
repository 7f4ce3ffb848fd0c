"""Time and memory of XceptionTime on this machine's CPU, beside tsai's where that is installed.

    python benchmarks/network.py            # the whole table
    python benchmarks/network.py --quick    # fewer repetitions, no growth

    python benchmarks/network.py --cpu-time # on a busy machine: one thread, the time it computed rather than the time that passed

The two take turns in one process, and a ratio is the median over turns. The bound is what the network's multiplications alone would take at the rate of a
1024 x 1024 matrix product, measured between the turns; the share is the bound over the time. Peak memory is what a step adds, each in a process of its own.
"""
import argparse, copy, importlib.util, platform, resource, statistics as st, subprocess, sys, time
import torch
from torch.nn import functional as F
from xceptiontime.models.xceptiontime import XceptionTime

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

def stepper(m, x, y):
    opt = torch.optim.Adam(m.parameters(), 1e-3)
    def step():
        opt.zero_grad()
        F.cross_entropy(m(x), y).backward()
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
    "Multiply-adds a second of a matrix product"
    return 1024**3/min(seconds(lambda: a@a) for _ in range(5))

def turns(fs, n):
    "Seconds of each of `fs` in `n` turns, and the median rate between them; each is called once more before, so that all find the caches as they leave them, and none is always the first"
    times,rates = [],[]
    for i in range(n):
        turn = [(f(), seconds(f))[1] for f in (fs[::-1] if i%2 else fs)]
        times.append(turn[::-1] if i%2 else turn)
        rates.append(rate())
    return list(zip(*times)),st.median(rates)

def high_water():
    "Most MB that this process has held; on Linux from /proc, as what getrusage says there begins with the parent's"
    if sys.platform!='linux': return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss/(2**20 if sys.platform=='darwin' else 2**10)
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
    return float(subprocess.run([sys.executable, __file__, '--peak', name, *map(str, shape)], check=True, capture_output=True, text=True).stdout.split()[-1])

def table(names, shapes, n):
    print('| series x channels x steps | | ours, ms | tsai, ms | ratio | bound, ms | share |\n|---|---|--:|--:|--:|--:|--:|')
    for shape in shapes:
        x,y = data(*shape)
        ms = [network(name, shape[1]) for name in names]
        repeat = n*4 if shape[0]==1 else n
        for kind,factor in (('training step',3), ('evaluation',1), ('evaluation, fused',1)):
            fs = [stepper(m, x, y) for m in ms] if factor==3 else [evaluator(m, x) for m in ([ms[0].fuse(),*ms[1:]] if 'fused' in kind else ms)]
            times,r = turns(fs, repeat)
            ours,bound = st.median(times[0]),factor*shape[0]*multiplications(shape[1], shape[2])/r
            theirs,ratio = (f'{st.median(times[1])*1e3:.1f}',f'{st.median(a/b for a,b in zip(*times)):.2f}') if len(ms)==2 else ('','')
            print(f"| {' x '.join(map(str, shape))} | {kind} | {ours*1e3:.1f} | {theirs} | {ratio} | {bound*1e3:.1f} | {bound/ours:.2f} |", flush=True)

def memory(names, shapes):
    print('\n| series x channels x steps | ' + ' | '.join(f'{n}, MB' for n in names) + ' |\n|---|' + '--:|'*len(names))
    for shape in shapes:
        print(f"| {' x '.join(map(str, shape))} | " + ' | '.join(f'{peak_elsewhere(n, shape):.0f}' for n in names) + ' |', flush=True)

def growth(n):
    print('\n| series | steps | training step, ms | us a step and series | evaluation, ms | us a step and series | memory, MB |\n|--:|--:|--:|--:|--:|--:|--:|')
    for bs,L in [(4,100), (4,300), (4,1000), (4,3000), (4,10000), (4,20000), (1,1000), (16,1000), (64,1000)]:
        x,y = data(bs, 3, L)
        m = network('ours', 3)
        (t,),_ = turns([stepper(m, x, y)], n)
        (e,),_ = turns([evaluator(m, x)], n)
        t,e = st.median(t),st.median(e)
        print(f'| {bs} | {L} | {t*1e3:.1f} | {t*1e6/bs/L:.1f} | {e*1e3:.1f} | {e*1e6/bs/L:.1f} | {peak_elsewhere("ours", (bs,3,L)):.0f} |', flush=True)

def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument('--quick', action='store_true', help='fewer repetitions, no growth')
    p.add_argument('--cpu-time', action='store_true', help='one thread, the time it computed: for a busy machine')
    p.add_argument('--shape', type=int, nargs=3, action='append', metavar=('SERIES','CHANNELS','STEPS'), help='instead of the four')
    p.add_argument('--peak', nargs=4, help=argparse.SUPPRESS)
    args = p.parse_args()
    if args.peak: return print(peak(args.peak[0], tuple(map(int, args.peak[1:]))))
    if args.cpu_time:
        global clock
        clock = time.process_time
        torch.set_num_threads(1)
    names = ['ours'] + ['tsai']*(importlib.util.find_spec('tsai') is not None)
    shapes = [tuple(s) for s in args.shape] if args.shape else SHAPES
    cpu = next((l.split(':')[1].strip() for l in open('/proc/cpuinfo') if l.startswith('model name')), '') if sys.platform=='linux' else platform.processor()
    print(f'{cpu}, {torch.get_num_threads()} threads, torch {torch.__version__}, {2*rate()/1e9:.0f} GFLOP/s in a matrix product\n')
    table(names, shapes, 3 if args.quick else 9)
    memory(names, shapes)
    if not args.quick: growth(3)

if __name__=='__main__': main()
