"Structure of the package: allowed imports, modules that use fastai, and the imports of a light process"
import ast, subprocess, sys
from pathlib import Path
import pytest

root = Path(__file__).parent.parent/'xceptiontime'
WINGS = { # subpackage: other subpackages, or single modules, that its modules may import
    'base': set(),
    'models.fast': {'base.checks', 'models.layers', 'models.masks'},
    'models': {'base', 'models.fast.door', 'models.fast.gpu'},
    'processing': {'base', 'models.layers', 'models.masks'},
    'data': {'base', 'models.masks', 'processing'},
    'runtime': {'base', 'models', 'processing', 'data.windows', 'data.given'},
    'train': {'base', 'models', 'processing', 'data', 'runtime'},
    'explain': {'base', 'models', 'processing', 'data', 'runtime', 'train'},
    'bench': {'base', 'models', 'processing', 'data', 'runtime', 'train', 'explain'},
}
TOP = {'cli', 'start', '__main__'} # a subpackage and two modules that may import everything
FASTAI_DATA = { # modules of `data` that import fastai
    'data.pictures', 'data.dataset', 'data.loaders', 'data.blocks', 'data.augment'}
FASTAI_WINGS = {'train', 'explain', 'bench'}
CORE = {'torch', 'numpy', 'fastcore', 'safetensors'} # the requirements, and what comes with them
FASTAI = {'fastai', 'fasttransform', 'matplotlib'} # fastai and its dependencies
NUMPY_ONLY = { # subpackages and modules without torch, except `FASTAI_DATA`
    'base', 'data', 'processing.filters', 'processing.series', 'processing.values', 'processing.statistics',
    'processing.conformal'}

def rooms():
    "(dotted name, path) of each module"
    files = [p for p in root.rglob('*.py') if p.stem not in ('__init__','_modidx','all')]
    return {'.'.join(p.relative_to(root).with_suffix('').parts): p for p in files}

ROOMS = rooms()

def wing_of(room): return room.rpartition('.')[0]

def within(room, names):
    "Is `room` one of `names`, or in a subpackage that is? `models` does not include `models.fast`"
    return room in names or wing_of(room) in names

def imports(room):
    "(name, at the top of the file?) of each import in `room`; those of this package without its name"
    tree = ast.parse(ROOMS[room].read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Import): names = [a.name for a in node.names]
        elif isinstance(node, ast.ImportFrom):
            package = ['xceptiontime', *room.split('.')][:-node.level] if node.level else []
            base = '.'.join([*package, *([node.module] if node.module else [])])
            here = base.removeprefix('xceptiontime').lstrip('.')
            ours = base.split('.')[0]=='xceptiontime'
            names = [f'{base}.{a.name}' for a in node.names] if ours and here not in ROOMS else [base]
        else: continue
        for n in names: yield n, node in tree.body

def own_imports(room):
    "The modules that `room` imports"
    names = [n.partition('.')[2] for n,_ in imports(room) if n.startswith('xceptiontime.')]
    return {n for n in names if n!='__version__'}

@pytest.mark.parametrize('room', ROOMS)
def test_imports_of_the_project(room):
    if within(room, TOP): return
    wing = wing_of(room)
    assert wing in WINGS, f'{room} stands in no wing'
    for other in own_imports(room):
        assert other in ROOMS, f'{room} imports {other}, which is no room'
        assert within(other, {wing, *WINGS[wing]}), f'{room} may not import {other}'

@pytest.mark.parametrize('room', ROOMS)
def test_imports_of_others(room):
    with_fastai = room in FASTAI_DATA or wing_of(room) in FASTAI_WINGS
    for name,top in imports(room):
        head = name.split('.')[0]
        if head=='xceptiontime' or head in sys.stdlib_module_names: continue
        if head in FASTAI: assert with_fastai or within(room, TOP) and not top, f'{room} imports {head}'
        if not top: continue
        allowed = CORE|FASTAI if with_fastai or not within(room, NUMPY_ONLY) else {'numpy','fastcore'}
        if room=='train.estimator': allowed = allowed|{'sklearn'}
        if room=='models.fast.kernels': allowed = allowed|{'triton'} # imported if there is a GPU
        assert head in allowed, f'{room} imports {head} at its top'

def test_no_circle():
    left = {room: own_imports(room) for room in ROOMS}
    while left:
        ready = {room for room,others in left.items() if not others & left.keys()}
        assert ready, f'rooms that import each other: {sorted(left)}'
        for room in ready: del left[room]

def heavy(code):
    "Which heavy packages a fresh process has loaded after `code`"
    packages = 'fastai','pandas','matplotlib','sklearn','scipy'
    code = f'import sys\n{code}\nprint([m for m in {packages} if m in sys.modules])'
    run = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    return run.stdout.splitlines()[-1]

def test_predictor_is_light(): assert heavy('from xceptiontime.runtime import Predictor')=='[]'

def test_command_help_is_light():
    assert heavy("from xceptiontime.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass")=='[]'
