"The table of rooms: what each module may import of this project and of fastai, read from its source"
import ast, subprocess, sys
from pathlib import Path
import pytest

root = Path(__file__).parent.parent/'xceptiontime'
data = {'data.formats','data.tables','data.windows','data.splits','data.order','data.sets'}
rooms = { # room: the rooms that it may import
    'checks': set(),
    'files': set(),
    'layers': {'masks'},
    'masks': set(),
    'threads': set(),
    'rows': {'layers'},
    'infer': {'rows'},
    'small': {'infer','rows'},
    'fast': {'infer','layers','masks','rows','small','threads'},
    'models': {'checks','layers','masks','fast'},
    'inception': {'checks','layers','masks','rows','fast','models'},
    'preprocess': {'checks','layers','masks'},
    'conformal': {'checks'},
    'tasks': {'checks','conformal'},
    'data.numbers': set(),
    'data.tables': {'data.numbers'},
    'data.formats': {'files','checks','data.numbers','data.tables'},
    'data.windows': {'checks'},
    'data.splits': set(),
    'data.order': set(),
    'data.sets': {'data.tables','data.formats','data.windows'},
    'runtime': {'files','checks','conformal','layers','models','inception','preprocess','tasks'},
    'stream': {'runtime','preprocess','data.windows'},
    'export': {'files','runtime','preprocess'},
    'data.loaders': {'checks','preprocess','tasks'} | data,
    'data.blocks': {'data.loaders','preprocess'},
    'data.augment': {'checks','data.loaders','masks'},
    'pretrained': {'data.loaders','preprocess','runtime'},
    'learner': {'pretrained','data.loaders','models','preprocess','tasks','runtime'},
    'interpret': {'checks','data.loaders','learner','preprocess','runtime'},
    'recipe': {'checks','data.loaders','data.augment','learner','tasks'},
    'distributed': {'learner'},
    'benchmark': {'files','checks','calibrate','data.sets','models','recipe'},
    'comparison': {'benchmark','data.sets','tasks'},
    'calibrate': {'checks','conformal','data.loaders','data.windows','learner','preprocess','runtime'},
    'estimator': {'checks','data.loaders','learner','recipe','preprocess','tasks','runtime'},
    'checkpoint': {'files'},
    'cli': None, # everything that it drives
}
with_fastai = {'calibrate','data.loaders','data.blocks','data.augment','learner','checkpoint','estimator','recipe','benchmark','interpret','distributed'}
core = {'torch','numpy','fastcore','safetensors','fastai','fasttransform','matplotlib','sklearn'} # the requirements, and what comes with fastai
numpy_only = {'checks','files','conformal','data.numbers','data.tables','data.formats','data.windows','data.splits','data.order'}

def modules(): return {'.'.join(p.relative_to(root).with_suffix('').parts): p for p in root.rglob('*.py') if p.stem not in ('__init__','_modidx','all')}

def imports(path, room):
    "(name, at the top of the file?) for each import in `path`; those of this project without its name"
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Import): names = [a.name for a in node.names]
        elif isinstance(node, ast.ImportFrom):
            package = ['xceptiontime', *room.split('.')][:-node.level] if node.level else []
            base = '.'.join([*package, *([node.module] if node.module else [])])
            names = [base] if base not in ('xceptiontime','xceptiontime.data') else [f'{base}.{a.name}' for a in node.names]
        else: continue
        for n in names: yield n, node in tree.body

@pytest.mark.parametrize('room', modules())
def test_imports(room):
    assert room in rooms, f'{room} is not in the table of rooms'
    for name,top in imports(modules()[room], room):
        head,*rest = name.split('.')
        if head=='xceptiontime':
            other = '.'.join(rest)
            if other=='__version__' or rooms[room] is None: continue
            assert other in rooms[room], f'{room} imports {other}'
        elif top and head not in sys.stdlib_module_names:
            assert head in core, f'{room} imports {head} at its top, which is no requirement'
            if head in ('fastai','fasttransform','matplotlib'): assert room in with_fastai, f'{room} imports {head}'
            if head=='sklearn': assert room=='estimator', f'{room} imports sklearn'
            if room in numpy_only: assert head in ('numpy','fastcore'), f'{room} imports {head}'

def test_table_has_no_cycle():
    done = set()
    while len(done)<len(rooms):
        ready = {r for r,o in rooms.items() if r not in done and (o or set())<=done}
        assert ready, f'rooms that import each other: {set(rooms)-done}'
        done |= ready

def test_predictor_is_light():
    "A process that only predicts loads neither fastai nor pandas nor matplotlib"
    code = "import sys; from xceptiontime.runtime import Predictor; print([m for m in ('fastai','pandas','matplotlib','sklearn','scipy') if m in sys.modules])"
    assert subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True).stdout.strip()=='[]'

def test_cli_help_is_light():
    code = "import sys; from xceptiontime.cli import main\ntry: main(['--help'])\nexcept SystemExit: print([m for m in ('fastai','pandas','matplotlib') if m in sys.modules])"
    assert subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True).stdout.splitlines()[-1]=='[]'
