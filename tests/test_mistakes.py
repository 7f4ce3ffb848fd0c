"Each mistake in mistakes.py gives one sentence"
import pytest
import mistakes

rows = [(group, m) for group,rows in mistakes.table.items() for m in rows]

@pytest.fixture(scope='module')
def ns(): return mistakes.namespace()

def test_a_case_is_read():
    first,second = mistakes.read_cases("""
## Numbers

# a word
x = 'one'
int(x)
ValueError: invalid literal for int()
    with base 10: 'one'

# by zero
1/0
ZeroDivisionError: ... by zero
""")['Numbers']
    said = "invalid literal for int() with base 10: 'one'"
    assert first==('a word', "x = 'one'\nint(x)", ValueError, said, True)
    assert second==('by zero', '1/0', ZeroDivisionError, 'by zero', False)

def test_enough(): assert len(rows)>=200 and len({m.call for _,m in rows})==len(rows)

@pytest.mark.parametrize('mistake', [m for _,m in rows], ids=[f'{g}: {m.name}' for g,m in rows])
def test_told(ns, mistake):
    e = mistakes.told(mistake.call, ns)
    assert e is not None, 'no error'
    said = str(e)
    assert type(e) is mistake.error and mistake.words in said, repr(e)
    assert said.startswith(mistake.words) or not mistake.begins, said
    assert len(said.splitlines())==1 and len(said)<300 and not said.startswith('Exception occured'), said

def test_weights_stay_finite(ns):
    learn = ns['learn']
    assert all(p.isfinite().all() for p in learn.model.state_dict().values())
