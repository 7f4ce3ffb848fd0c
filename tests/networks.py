"Shared by tests of networks: a network whose BatchNorms have seen data, its plain copy, and a count of calls"
import copy
import torch
from torch import nn

def seasoned(arch, c_in, c_out, seed=0, dtype=torch.float64, **kwargs):
    "A network of class `arch` whose BatchNorms have random statistics and weights"
    torch.manual_seed(seed)
    m = arch(c_in, c_out, **kwargs)
    for l in m.modules():
        if isinstance(l, nn.BatchNorm1d):
            l.running_mean.uniform_(-.5, .5)
            l.running_var.uniform_(.5, 2.)
            l.weight.data.uniform_(.5, 2.)
            l.bias.data.uniform_(-.3, .5)
    return m.to(dtype)

def plain(m):
    "A copy that calls every layer"
    m = copy.deepcopy(m)
    m.as_built = None
    return m

def counted(monkeypatch, module, name):
    "A list that grows by one with each call of a function that `module` uses"
    calls,f = [], getattr(module, name)
    def spy(*args, **kwargs):
        calls.append(1)
        return f(*args, **kwargs)
    monkeypatch.setattr(module, name, spy)
    return calls
