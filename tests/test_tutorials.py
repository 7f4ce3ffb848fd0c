"A tutorial runs from its shown cells: no cell needs a name from a hidden cell"
import ast, builtins
from pathlib import Path
import pytest
import xceptiontime.all
from fastcore.nbio import read_nb

pages = sorted((Path(__file__).parents[1]/'nbs'/'tutorials').glob('*.ipynb'))

def names(source):
    "The names that code binds, and the names that it reads"
    made,read = set(),set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Name): (read if isinstance(node.ctx, ast.Load) else made).add(node.id)
        if isinstance(node, (ast.FunctionDef,ast.ClassDef)): made.add(node.name)
        if isinstance(node, ast.arg): made.add(node.arg)
        if isinstance(node, (ast.Import,ast.ImportFrom)):
            made |= {(a.asname or a.name).split('.')[0] for a in node.names}
        if isinstance(node, ast.ExceptHandler) and node.name: made.add(node.name)
    return made,read

def missing(cells):
    "Names in shown code cells that neither they, Python nor `from xceptiontime.all import *` define"
    made,read = (set().union(*o) for o in zip(*map(names, cells)))
    return read-made-set(dir(builtins))-set(vars(xceptiontime.all))

def test_a_name_that_is_hidden_is_found():
    shown = ['x = f(1)', 'def g(a):\n    y[a] = x\n    return [b for b in a]']
    assert missing(shown)=={'f','y'}
    assert missing([*shown, 'from m import f', 'import y.z'])==set()

@pytest.mark.parametrize('page', pages, ids=lambda p: p.stem)
def test_shown_cells_suffice(page):
    code = [c.source for c in read_nb(page).cells if c.cell_type=='code']
    cells = [s for s in code if '#| hide' not in s]
    assert cells and missing(cells)==set()
