"""Time and memory of XceptionTime on a GPU, beside tsai's network if it is installed

    python benchmarks/gpu.py                  # all parts, within four minutes
    python benchmarks/gpu.py --quick          # about one minute: fewer repetitions, less data
    python benchmarks/gpu.py steps epochs     # some parts: see PARTS below
    python benchmarks/gpu.py --json FILE      # saves the figures, row by row

A time is a median over repetitions in which the two networks alternate, each until the GPU is
idle. A step is forward, loss, backward and PyTorch's fused AdamW. An epoch goes
through each library's own loaders and Learner, without bars. Memory is what PyTorch holds on the
GPU during a step, with what it keeps for CUDA graphs.
"""
import argparse, copy, gc, hashlib, importlib, json, os, platform, shutil, statistics as st
import subprocess, sys, tempfile, time, traceback, warnings
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
begun = time.perf_counter() # before the slow imports
import numpy as np
import torch
with warnings.catch_warnings():
    warnings.simplefilter('ignore', FutureWarning)
    from fastai.callback.core import Callback, CancelTrainException
from torch.nn import functional as F
from network import data, head, line, network # in this folder

CASES = [ # series, channels, steps; precisions
    ((16,1,150), ('fp32','tf32')),
    ((64,3,256), ('fp32','tf32')),
    ((256,12,512), ('tf32','bf16')),
    ((64,6,5000), ('tf32','bf16'))]

try: from xceptiontime.models.graphs import Graphed as graphed # as used by `learn.fit`
except ImportError: graphed = None # a version without CUDA graphs

def through_graphs(m): return m if graphed is None else graphed(m)

class Report:
    "Tables that are printed row by row, and saved"
    def __init__(self, path=None, **facts):
        self.path,self.kept = path,{**facts, 'tables': {}, 'notes': []}
    def add(self, table, **cells):
        "Print a row of a table and save it; the file has no cells that are None"
        rows = self.kept['tables'].setdefault(table, [])
        if not rows:
            print(f'\n{table} ({time.perf_counter()-begun:.0f} s)\n')
            head(*cells, left=sum(isinstance(o, str) for o in cells.values()))
        rows.append({k: o for k,o in cells.items() if o is not None})
        line(*(o if isinstance(o, str) else '' if o is None else f'{o:,}' for o in cells.values()))
        self._save()
    def say(self, text):
        "Print a sentence and save it"
        print(f'\n{text}')
        self.kept['notes'].append(text)
        self._save()
    def _save(self):
        if self.path: Path(self.path).write_text(json.dumps(self.kept, indent=1)+'\n') # the rows so far

def wait(device):
    if device.type=='cuda': torch.cuda.synchronize()

def milliseconds(f, device):
    wait(device)
    start = time.perf_counter()
    f()
    wait(device)
    return (time.perf_counter()-start)*1e3

def turns(fs, device, n, warm=0):
    "Median milliseconds of each of `fs` in `n` turns; None stays None"
    some = [(i,f) for i,f in enumerate(fs) if f is not None]
    for _,f in some:
        for _ in range(warm): f()
    times = [[] for _ in fs]
    for turn in range(n):
        for i,f in some[::-1] if turn%2 else some: times[i].append(milliseconds(f, device))
    return [round(st.median(t), 2) if t else None for t in times]

def ratio(a, b): return None if a is None or b is None else round(a/b, 2)

def set_precision(name):
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = name!='fp32'

def autocast(device, precision):
    return torch.autocast(device.type, torch.bfloat16, enabled=precision=='bf16')

def stepper(m, x, y, device, precision='tf32', lengths=(), graphs=True):
    "A training step, which returns the loss"
    opt = torch.optim.AdamW(m.parameters(), fused=True)
    run = through_graphs(m) if graphs else m
    def step():
        opt.zero_grad(set_to_none=True)
        with autocast(device, precision): out = run(x, *lengths)
        loss = F.cross_entropy(out.float(), y)
        loss.backward()
        opt.step()
        return loss.detach()
    step.run = run
    return step

def evaluator(m, x, device, precision, graphs):
    m = copy.deepcopy(m).eval()
    run = through_graphs(m) if graphs else m
    def evaluate():
        with torch.no_grad(), autocast(device, precision): return run(x)
    return evaluate

def with_memory(make, device, warm=8):
    "The result of `make`, and the peak MB of PyTorch in a call after the first calls"
    if device.type!='cuda': return make(),0
    gc.collect()
    torch.cuda.empty_cache()
    before = torch.cuda.memory_reserved()
    f = make()
    for _ in range(warm): f()
    wait(device)
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    f()
    wait(device)
    return f,round((torch.cuda.max_memory_reserved()-before)/2**20)

def shape_and_precision(cases, device):
    "Each case with its series and targets, with its precision set"
    for shape,precisions in cases:
        x,y = (o.to(device) for o in data(*shape))
        for precision in precisions:
            set_precision(precision)
            yield shape,precision,x,y
    set_precision('tf32')

def of_shape(shape, **more): return {'series x channels x steps': ' x '.join(map(str, shape)), **more}

def kernels(report, names, device, **_):
    "Relative difference of the Triton kernels to PyTorch in float64, or the reason that they cannot be used"
    from xceptiontime.models.fast.gpu import difference, works_on
    for dtype in (torch.float32, torch.bfloat16):
        for length in (32, 30):
            try: off = f'{difference(device, dtype, length):.0e}'
            except Exception: off = traceback.format_exc(limit=-2).strip()[-400:]
            report.add('Kernels', dtype=str(dtype).removeprefix('torch.'), length=length, difference=off,
                       used='yes' if works_on(device, dtype, length%4==0) else 'no')

def steps(report, names, device, cases=CASES, n=20, **_):
    "Training steps: XceptionTime with and without CUDA graphs, and tsai's"
    for shape,precision,x,y in shape_and_precision(cases, device):
        ways = [(name,True) for name in names]
        if graphed: ways.insert(1, ('ours',False))
        fs,mb = {},{}
        for name,graphs in ways:
            m = network(name, shape[1]).to(device)
            def make(): return stepper(m, x, y, device, precision, graphs=graphs and name=='ours')
            fs[name,graphs],mb[name,graphs] = with_memory(make, device)
        places = ('ours',True),('ours',False),('tsai',True)
        ours,bare,theirs = turns([fs.get(o) for o in places], device, n, warm=2)
        report.add('Training step', **of_shape(shape, precision=precision), **{
            'ours, ms': ours, 'without graphs, ms': bare, 'tsai, ms': theirs,
            'ratio': ratio(ours, theirs),
            'ours, MB': mb['ours',True], 'tsai, MB': mb.get(('tsai',True))})
        run = fs['ours',True].run
        if not getattr(run, 'replayed', 1): report.say(f'{shape}, {precision}: {run}')

def evaluation(report, names, device, cases=CASES, n=20, **_):
    for shape,precision,x,_ in shape_and_precision(cases, device):
        nets = [network(name, shape[1]).to(device) for name in names]
        ways = [(nets[0],True), (nets[0],False) if graphed else None, *((m,False) for m in nets[1:])]
        fs = [o and evaluator(o[0], x, device, precision, graphs=o[1]) for o in ways]
        ours,bare,theirs = turns([*fs, None][:3], device, n, warm=8)
        report.add('Evaluation', **of_shape(shape, precision=precision), **{
            'ours, ms': ours, 'without graphs, ms': bare, 'tsai, ms': theirs,
            'ratio': ratio(ours, theirs)})

def lengths(report, names, device, shapes=((64,3,256),(64,12,512)), n=20, **_):
    "A step with series of unequal length, and one with series of equal length"
    for shape in shapes:
        x,y = (o.to(device) for o in data(*shape))
        own = torch.randint(shape[2]//2, shape[2], shape[:1]).to(device) # (series,)
        for graphs in ([True,False] if graphed else [False]):
            ms = [network('ours', shape[1]).to(device) for _ in range(2)]
            fs = [stepper(m, x, y, device, lengths=o, graphs=graphs) for m,o in zip(ms, ((),(own,)))]
            plain,masked = turns(fs, device, n, warm=8)
            report.add('Lengths', **of_shape(shape, graphs='yes' if graphs else 'no'), **{
                'of one length, ms': plain, 'with lengths, ms': masked,
                'ratio': ratio(masked, plain)})

def difference(report, names, device, **_):
    "Relative difference to float64 on the CPU, of scores and of gradients (norms)"
    set_precision('fp32')
    m = network('ours', 3)
    x,y = data(16, 3, 133)
    there = copy.deepcopy(m).to(device)
    m,x = m.double(),x.double()
    outs = m(x),there(x.float().to(device))
    for out,k in zip(outs, (y,y.to(device))): F.cross_entropy(out, k).backward()
    grads = [torch.cat([p.grad.flatten().double().cpu() for p in o.parameters()])
             for o in (m,there)]
    set_precision('tf32')
    scores,grads = (((a-b.double().cpu()).norm()/a.norm()).item() for a,b in (outs,grads))
    report.add('Difference to float64 on the CPU', scores=float(f'{scores:.1e}'),
               gradients=float(f'{grads:.1e}'))

def losses_by_hand(device, graphs, n, shape):
    "Losses of the first `n` steps, each on another batch"
    torch.manual_seed(1)
    x,y = (o.to(device) for o in data(shape[0]*n, *shape[1:])) # (n*series, channels, steps)
    m = network('ours', shape[1]).to(device)
    here = [torch.empty_like(o[:shape[0]]) for o in (x,y)] # the same memory for all batches
    step,res = stepper(m, *here, device, graphs=graphs),[]
    for batch in zip(x.split(shape[0]), y.split(shape[0])):
        for place,o in zip(here, batch): place.copy_(o)
        res.append(step())
    return torch.stack(res).double().cpu() # (n,)

def losses_of_learner(device, graphs, n, shape):
    X,y = made_up(shape[0]*n+2, *shape[1:])
    at = list(range(len(X)))
    learn = learner('ours', X, y, (at[:-2],at[-2:]), shape[0], device)
    if not graphs: learn.graphs = None
    learn.fit(1, 1e-3)
    return torch.stack([o.double().cpu() for o in learn.recorder.losses]) # (n,)

def curve(report, names, device, n_steps=10, shape=(64,3,128), **_):
    "Are the losses of training the same with CUDA graphs and without? Two runs without may differ too"
    set_precision('fp32')
    def apart(a, b): return float(f'{((a-b).abs()/b).max().item():.1e}')
    for by,losses in (('a loop by hand',losses_by_hand),('learn.fit',losses_of_learner)):
        with_graphs,one,other = (losses(device, o, n_steps, shape) for o in (True,False,False))
        report.add('Largest relative difference of the loss', **{
            'steps of': by, 'steps': n_steps,
            'with graphs to without': apart(with_graphs, one) if graphed else None,
            'two runs without': apart(other, one)})
    set_precision('tf32')

def made_up(n, c_in, L):
    rng = np.random.default_rng(0)
    return rng.normal(size=(n,c_in,L)).astype('float32'),(np.arange(n)%6).astype(str)

def without_bars(learn):
    learn.remove_cbs([cb for cb in learn.cbs if cb.name=='progress'])
    learn.logger = lambda *args, **kwargs: None
    return learn

def learner(name, X, y, splits, bs, device):
    if name=='ours':
        from xceptiontime.all import TSDataLoaders, ts_learner
        dls = TSDataLoaders.from_arrays(X, y, splits=splits, bs=bs, device=device)
        return without_bars(ts_learner(dls, seed=0))
    from tsai.data.core import TSClassification, get_ts_dls # tsai.basics needs more packages
    from tsai.learner import ts_learner as tsai_learner
    from tsai.models.XceptionTime import XceptionTime
    dls = get_ts_dls(X, y, splits=splits, tfms=[None,TSClassification()], bs=[bs,bs])
    return without_bars(tsai_learner(dls, XceptionTime))

def epochs(report, names, device, train=16000, valid=4000, L=128, sizes=(64,512), rounds=3, **_):
    "Whole epochs with validation, after a first one that is not counted"
    X,y = made_up(train+valid, 3, L)
    splits = list(range(train)),list(range(train, train+valid))
    for bs in sizes:
        learns = [learner(name, X, y, splits, bs, device) for name in names]
        fs = [lambda o=o: o.fit(1, 1e-3) for o in learns]
        ms = turns([*fs, None][:2], device, rounds, warm=1)
        ours,theirs = (o and round(o/1e3, 3) for o in ms)
        report.add('Epoch', **{
            'series': f'{train:,} x 3 x {L}, {valid:,} to validate', 'batches of': bs,
            'ours, s': ours, 'tsai, s': theirs, 'ratio': ratio(ours, theirs)})
        if graphed: report.say(f'Batches of {bs}: {learns[0].graphs}')

def digest(device):
    "A digest of the weights after a small training with deterministic algorithms"
    torch.use_deterministic_algorithms(True)
    X,y = made_up(256, 3, 64)
    learn = learner('ours', X, y, (list(range(192)),list(range(192, 256))), 32, device)
    learn.fit(2, 1e-3)
    weights = torch.cat([p.detach().flatten().cpu() for p in learn.model.parameters()])
    return hashlib.sha1(weights.numpy().tobytes()).hexdigest()[:12]

def determinism(report, names, device, **_):
    "Compare the weights of two new processes that run at the same time"
    env = {**os.environ, 'CUBLAS_WORKSPACE_CONFIG':':4096:8'}
    runs = [subprocess.Popen([sys.executable, __file__, '--digest'], env=env, text=True,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(2)]
    try: said = [(*run.communicate(timeout=60),run.returncode) for run in runs]
    finally:
        for run in runs: run.kill()
    one,other = (err.strip().splitlines()[-1][:200] if rc else out.split()[-1]
                 for out,err,rc in said)
    report.add('Weights of two processes with one seed, by deterministic algorithms',
               first=one, second=other)

class Pace(Callback):
    "Seconds per batch of training, without the first `warm`; ends the epoch after `most` seconds"
    looks_only,order = True,70
    def __init__(self, device, most, warm):
        self.device = device
        self.most,self.warm = most,warm
    def before_train(self): self.batches = 0
    def after_batch(self):
        if not self.training: return
        self.batches += 1
        if self.batches<=self.warm: self._start()
        elif time.perf_counter()-self.start>self.most:
            raise CancelTrainException
    def _start(self):
        if self.batches==self.warm: wait(self.device)
        self.start = time.perf_counter()
    def after_train(self):
        wait(self.device)
        n = self.batches-self.warm
        self.each = (time.perf_counter()-self.start)/n if n>0 else None

def write_series(folder, gb, c_in=3, L=512):
    "A memory-mapped `.npy` file of float32 series of repeated noise"
    n = int(gb*2**30)//(4*c_in*L)
    X = np.lib.format.open_memmap(f'{folder}/X.npy', 'w+', np.float32, (n,c_in,L))
    block = np.random.default_rng(0).standard_normal((4096,c_in,L), dtype=np.float32)
    for i in range(0, n, len(block)): X[i:i+len(block)] = block[:n-i]
    return np.load(f'{folder}/X.npy', mmap_mode='r')

def alone(dl, device, n):
    "Milliseconds of a step on a batch on the device, and of a batch of the loader, over `n`"
    batch = [o.as_subclass(torch.Tensor) for o in dl.one_batch()]
    step = stepper(network('ours', batch[0].shape[1]).to(device), *batch, device)
    def in_a_row():
        for _ in range(n): step()
    own, = turns([in_a_row], device, 1, warm=1)
    batches = islice(dl, n)
    next(batches) # starts the worker processes
    loader = milliseconds(lambda: [None for _ in batches], device)
    return own/n,loader/(min(n, len(dl))-1)

def paced_epoch(report, dls, where, device, most, warm):
    "An epoch, or its first `most` seconds, and the time of the network alone"
    from xceptiontime.all import ts_learner
    dl = dls.train
    own,loader = alone(dl, device, warm or 2)
    learn,pace = without_bars(ts_learner(dls, seed=0)),Pace(device, most, warm)
    learn.fit(1, 1e-3, cbs=pace)
    if pace.each is None: return report.say(f'{where}, batches of {dl.bs}: {pace.batches} are too few to measure')
    ms = pace.each*1e3
    report.add('Epoch from a file', **{
        'series in': where, 'batches of': dl.bs, 'processes': dl.fake_l.num_workers,
        'loader alone, ms a batch': round(loader, 2), 'network alone, ms a batch': round(own, 2),
        'epoch, ms a batch': round(ms, 2), 'ratio': round(ms/own, 2),
        'batches measured': pace.batches-warm, 'whole epoch, s': round(pace.each*len(dl), 1)})

def loaders(X, device):
    from xceptiontime.all import TSDataLoaders
    n = len(X)-max(len(X)//200, 1) # number of training series
    at,y = np.arange(len(X)),np.arange(len(X))%6
    return TSDataLoaders.from_arrays(X, y, splits=(at[:n],at[n:]), device=device)

def changed(dls, device, **kwargs):
    return type(dls)(*(dl.new(**kwargs) for dl in dls.loaders), device=device)

def from_file(report, names, device, gb=4, sizes=(64,512), processes=4, most=20, warm=50,
              minutes=4, **_):
    "Epochs over a memory-mapped file, as large as the disk allows, and over a part of it in memory"
    folder = tempfile.mkdtemp()
    try:
        X = write_series(folder, min(gb, shutil.disk_usage(folder).free/2**30*.8))
        mapped,held = loaders(X, device),loaders(X[:len(X)//8+16].copy(), device)
        size = f'{X.nbytes/2**30:.1f} GB file'
        runs = [('memory',held,sizes[0],0), *((size,mapped,bs,0) for bs in sizes),
                (size,mapped,sizes[0],processes)]
        for i,(where,dls,bs,n) in enumerate(runs):
            left = (minutes*60-10-time.perf_counter()+begun)/(len(runs)-i) # seconds for each run
            dls = changed(dls, device, bs=bs, num_workers=n)
            paced_epoch(report, dls, where, device, min(most, max(left-4, 3)), warm)
    finally: shutil.rmtree(folder)

PARTS = dict(kernels=kernels, steps=steps, evaluation=evaluation, lengths=lengths, epochs=epochs, difference=difference,
             curve=curve, determinism=determinism, file=from_file)
NEEDS = dict(epochs=35, determinism=35, file=30) # seconds that a part takes at least; others 10
QUICK = dict(n=5, rounds=1, train=4000, valid=1000, gb=1, most=3)

def found_version(name):
    try: return version(name)
    except PackageNotFoundError: return 'of unknown version'

def machine(names):
    facts = dict(gpu=torch.cuda.get_device_name(0), python=platform.python_version())
    if hasattr(os, 'sched_getaffinity'): facts['cpus'] = len(os.sched_getaffinity(0))
    return facts | {k: found_version(k) for k in ('torch','tsai') if k!='tsai' or k in names}

def libraries():
    "The libraries: xceptiontime, and tsai if it can be imported"
    if find_spec('tsai') is None: return ['ours']
    try: importlib.import_module('tsai.learner')
    except ImportError as e:
        print(f'tsai is left out: {e}')
        return ['ours']
    return ['ours','tsai']

def command(args):
    "The command line, without the file of the figures"
    gb = [] if args.gb is None else ['--gb', f'{args.gb:g}']
    return ' '.join(['python benchmarks/gpu.py', *args.parts, *['--quick']*args.quick, *gb])

def arguments():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument('parts', nargs='*', metavar='PART', help=f'of {", ".join(PARTS)}; all if none')
    p.add_argument('--quick', action='store_true', help='about one minute: fewer repetitions, less data')
    p.add_argument('--gb', type=float, help='size of the file of an epoch, in GB of 2**30 bytes (4, or 1 if quick)')
    p.add_argument('--minutes', type=float, default=4, help='parts begin, and epochs go on, within this time')
    p.add_argument('--json', metavar='FILE', help='keep the figures in it')
    p.add_argument('--digest', action='store_true', help=argparse.SUPPRESS)
    args = p.parse_args()
    odd = [o for o in args.parts if o not in PARTS]
    if odd: p.error(f'PART: expected some of {", ".join(PARTS)}, got {odd[0]}')
    return args

def run(parts, *args, **how):
    "Run `parts`; returns the names of those that fail"
    failed = []
    for name in parts:
        if time.perf_counter()-begun>how.get('minutes', 4)*60-NEEDS.get(name, 10):
            print(f'{name} is left out, as the time is over')
            continue
        try: PARTS[name](*args, **how)
        except Exception:
            traceback.print_exc()
            failed.append(name)
    return failed

def main():
    args = arguments()
    if not torch.cuda.is_available():
        sys.exit('gpu: expected a machine with a GPU that PyTorch can use (CUDA), got none')
    device = torch.device('cuda')
    if args.digest: return print(digest(device))
    names = libraries()
    facts = machine(names)
    print(', '.join(f'{k} {v}' for k,v in facts.items()))
    report = Report(args.json, command=command(args), **facts)
    how = {**(QUICK if args.quick else {}), 'minutes': args.minutes}
    if args.gb is not None: how['gb'] = args.gb
    failed = run(args.parts or PARTS, report, names, device, **how)
    print(f'\n{time.perf_counter()-begun:.0f} s')
    if failed: sys.exit(f'gpu: failed: {", ".join(failed)}')

if __name__=='__main__': main()
