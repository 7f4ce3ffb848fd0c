"Each mistake of the table in mistakes.py is told in one sentence"
import random
import numpy as np, pytest, torch
import mistakes

rows = [(group, *row) for group,rows in mistakes.table.items() for row in rows]

@pytest.fixture(scope='module')
def ns(): return mistakes.namespace()

def test_enough(): assert len(rows)>=60 and len({r[2] for r in rows})==len(rows)

@pytest.mark.parametrize('group,what,call,error,words', rows, ids=[f'{g}: {w}' for g,w,*_ in rows])
def test_told(ns, group, what, call, error, words):
    e = mistakes.told(call, ns)
    assert e is not None, 'no error'
    assert type(e) is error and words in str(e), repr(e)
    assert len(str(e).splitlines())==1 and not str(e).startswith('Exception occured'), str(e)

def test_weights_stay_finite(ns):
    learn = ns['learn']
    assert all(p.isfinite().all() for p in learn.model.state_dict().values())
