"Importing the package, and making a learner without a seed, do not change the state of the process"
import json, subprocess, sys
import pytest

code = '''
import inspect, json, random, sys, warnings
import numpy as np, torch
from fastai.basics import *
from fastai.callback.all import *
from fastai.interpret import *
import fastai.learner, fastai.data.core, fastai.data.load, fastai.callback.core, fastai.callback.progress
import fastai.metrics, fastai.losses, fastai.torch_core
import sklearn, matplotlib, matplotlib.pyplot

def plain(o): return o.tolist() if hasattr(o,'tolist') else o
def rng(): return [random.getstate(), [plain(o) for o in np.random.get_state()], torch.get_rng_state().tolist()]
def is_code(v): return callable(v) or isinstance(v, (property,classmethod,staticmethod))
def classes():
    "Each attribute of each class, and each function, of fastai, torch.nn and torch.Tensor"
    res = {}
    for name,m in list(sys.modules.items()):
        if not name.startswith(('fastai','torch.nn','fastcore.xtras','fasttransform')) or m is None: continue
        for k,o in list(vars(m).items()):
            if inspect.isclass(o) and o.__module__.startswith(('fastai','torch','fasttransform')):
                name_of_class = f'{o.__module__}.{o.__qualname__}'
                res.update({f'{name_of_class}.{a}': id(v) for a,v in vars(o).items() if is_code(v)})
            elif inspect.isfunction(o): res[f'{name}.{k}'] = id(o)
    res.update({f'Tensor.{a}': id(v) for a,v in vars(torch.Tensor).items() if callable(v)})
    return res
def state():
    defaults,cudnn = fastai.learner.defaults,torch.backends.cudnn
    return dict(
        filters=[str(f) for f in warnings.filters], rng=rng(), callbacks=[str(c) for c in defaults.callbacks],
        defaults={k: str(v) for k,v in vars(defaults).items()}, threads=torch.get_num_threads(),
        grad=torch.is_grad_enabled(), dtype=str(torch.get_default_dtype()),
        deterministic=[torch.are_deterministic_algorithms_enabled(), cudnn.benchmark, cudnn.deterministic],
        err=str(np.geterr()), print=str(np.get_printoptions()), argv=sys.argv[:],
        rc={k: str(v) for k,v in matplotlib.rcParams.items()}, hook=id(sys.excepthook))

keep = classes() # ids are compared: the objects stay alive, as their classes do
before = state()
from xceptiontime.all import *
imported = state()
seen = classes()
def new(k): return k not in keep and not k.startswith(('fastai.callback.','torch.nn.utils'))
changed = [k for k in keep if seen.get(k)!=keep[k]] + [k for k in seen if new(k)]
X = np.random.default_rng(0).normal(size=(20,2,30)).astype(np.float32)
prepared = rng()
dls = TSDataLoaders.from_arrays(X, np.arange(20)%2, (np.arange(14),np.arange(14,20)))
made_dls = rng()
model = XceptionTime(2, 2, nf=2, head='linear')
by_model = rng()
torch.set_rng_state(torch.tensor(made_dls[2], dtype=torch.uint8)); random.setstate(made_dls[0])
learn = ts_learner(dls, nf=2)
by_learner = rng()
after = state()
seen = classes()
changed += [k for k in keep if seen.get(k)!=keep[k]]
def differs(a, b): return [k for k in a if a[k]!=b[k]]
print(json.dumps(dict(
    imported=differs(before, imported), dls=prepared[1:]==made_dls[1:], same=by_model==by_learner,
    made=[k for k in differs(before, after) if k!='rng'], changed=changed)))
'''

def run():
    out = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert out.returncode==0, out.stderr
    return json.loads(out.stdout.splitlines()[-1])

@pytest.mark.slow
def test_nothing_moves():
    res = run()
    assert res['imported']==[] # filters, random states, default callbacks, settings
    assert res['dls'] # loaders draw no global random numbers of torch and numpy
    assert res['same'] # a learner draws random numbers only for the weights of its network
    assert res['made']==[]
    assert res['changed']==[]
