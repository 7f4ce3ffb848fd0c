"Style of the code: lines, checks, functions, and an example below each exported cell"
import ast, json, re
from pathlib import Path
import pytest
from xceptiontime._modidx import d

root = Path(__file__).parent.parent
NOTEBOOKS = sorted((root/'nbs').rglob('[0-9]*.ipynb'))
FILES = sorted(p for d in ('tests','benchmarks','tools') for p in (root/d).glob('*.py'))
WIDTH = 100 # limit for nine in ten lines; `ruff check` has the limit of 120 for all
LONGEST, MOST = 30, 7 # lines of a function's body, parameters of a private function

def cells(path):
    "The code cells of a notebook: (is it exported?, source)"
    for c in json.loads(path.read_text())['cells']:
        source = ''.join(c['source'])
        if c['cell_type']=='code' and source.strip(): yield '#| export' in source, source

def sources(path):
    return [s for _,s in cells(path)] if path.suffix=='.ipynb' else [path.read_text()]

def trees(path):
    for source in sources(path):
        lines = [l for l in source.splitlines() if not l.lstrip().startswith(('!','%'))]
        yield ast.parse('\n'.join(lines))

def nodes(path, *kinds):
    return [n for t in trees(path) for n in ast.walk(t) if isinstance(n, kinds)]

def shown(node): return ast.unparse(node)[:100]

NAMES = {'.'.join(name.split('.')[-n:]) for room in d['syms'].values() for name in room for n in (1,2)}

of_each = pytest.mark.parametrize('path', NOTEBOOKS+FILES, ids=lambda p: p.stem)
of_notebooks = pytest.mark.parametrize('path', NOTEBOOKS, ids=lambda p: p.stem)

@pytest.mark.parametrize('path', sorted((root/'nbs').rglob('*.ipynb')), ids=lambda p: p.stem)
def test_outputs_hold_no_path_of_a_machine(path):
    outputs = [o for c in json.loads(path.read_text())['cells'] for o in c.get('outputs', [])]
    assert not re.findall(r'(?<![\w.:/])/(?:[\w.-]+/)+[\w.-]+\.py\b', json.dumps(outputs)) # as warnings and errors have

@pytest.mark.parametrize('path', sorted((root/'nbs').rglob('*.ipynb')), ids=lambda p: p.stem)
def test_the_first_cell_ends_with_the_summary(path):
    "The site drops what stands below it"
    first = ''.join(json.loads(path.read_text())['cells'][0]['source'])
    assert '>' not in first or first.strip().split('\n\n')[-1].startswith('>')

@of_each
def test_nine_lines_in_ten_are_short(path):
    lines = [l for s in sources(path) for l in s.splitlines() if l.strip()]
    long = [l for l in lines if len(l)>WIDTH]
    assert len(long) <= len(lines)/10, f'{len(long)} of {len(lines)} lines are longer than {WIDTH}'

@of_each
def test_an_error_has_a_line_of_its_own(path):
    def crowded(n): return isinstance(n.body[0], ast.Raise) and n.body[0].lineno==n.test.end_lineno
    bad = [n for n in nodes(path, ast.If) if crowded(n)]
    assert not bad, [shown(n) for n in bad]

@of_each
def test_assignments_stand_alone_or_in_pairs(path):
    def several(n):
        pair = n.targets[0], n.value
        return all(isinstance(o, ast.Tuple) for o in pair) and len(n.value.elts)>2
    bad = [n for n in nodes(path, ast.Assign) if several(n)]
    assert not bad, [shown(n) for n in bad]

@of_notebooks
def test_functions_are_short(path):
    for n in nodes(path, ast.FunctionDef):
        body = n.body[ast.get_docstring(n) is not None:]
        if not body: continue
        lines = body[-1].end_lineno-body[0].lineno+1
        assert lines <= LONGEST, f'{n.name} has {lines} lines'
        if n.name.startswith('_') and not n.name.startswith('__'):
            args = n.args
            count = len(args.posonlyargs+args.args+args.kwonlyargs)
            assert count <= MOST, f'{n.name} takes {count} parameters'

def is_definition(source):
    return any(isinstance(n, (ast.FunctionDef, ast.ClassDef)) for n in ast.parse(source).body)

@of_notebooks
def test_each_exported_cell_is_shown_at_work(path):
    kinds = list(cells(path))
    for (exported,source),(after,_) in zip(kinds, [*kinds[1:], (False,'')]):
        lonely = exported and after and is_definition(source)
        assert not lonely, f'nothing shows what this does:\n{source[:300]}'

@of_notebooks
def test_notebooks_test_what_they_export(path):
    exported = sum(len([l for l in s.splitlines() if l.strip()]) for e,s in cells(path) if e)
    checks = ('test_', 'assert', 'expect_fail', 'says(', 'told(', 'refused(')
    count = sum(l.count(c) for e,s in cells(path) if not e for l in s.splitlines() for c in checks)
    assert count >= exported*.2, f'{count} assertions on {exported} exported lines'

@of_notebooks
def test_no_link_around_a_name_that_is_linked(path):
    "nbdev links a name in backticks, also inside another link, which it breaks"
    source = '\n'.join(''.join(c['source']) for c in json.loads(path.read_text())['cells'])
    twice = [n for n in re.findall(r'\[`([^`\]]+)`\]\(', source) if n in NAMES]
    assert not twice, twice

PACKAGE = sorted((root/'xceptiontime').rglob('*.py'))

@pytest.mark.parametrize('path', PACKAGE, ids=lambda p: '.'.join(p.relative_to(root/'xceptiontime').parts))
def test_one_channel_is_not_called_channels(path):
    "Messages use `counted` for a number with its noun, and `kind_of` for the kind of an array"
    odd = r'\{[^{}]*\} (channels|outputs|classes|recordings)\b'
    if path.parent.name!='models': odd += r'|got .*\.dtype\}' # where names of dtypes in torch are meant
    bad = [l.strip() for l in path.read_text().splitlines() if re.search(odd, l)]
    assert not bad, bad
