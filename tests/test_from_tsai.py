"The tables of the page 'From tsai to here' leave no public name of tsai 1.0.1 out"
import json, re
from pathlib import Path
import pytest
import xceptiontime.all
from xceptiontime.base.tsai_names import ROWS

here = Path(__file__).parent
TSAI = json.loads((here/'fixtures'/'tsai_names.json').read_text()) # `__all__` of its modules
page = json.loads((here.parent/'nbs'/'tutorials'/'08_from_tsai.ipynb').read_text())
sources = [''.join(c['source']) for c in page['cells']]
named = {n for row in ROWS['all'] for n in row.split()}

def modules():
    "The modules in the page's table of the other names"
    table = next(s for s in sources if '### The rest, by module' in s).split('### XceptionTimePlus')[0]
    rows = re.findall(r'^\| (`[^|]*) \|', table, re.M)
    return {m for row in rows for m in re.findall('`([^`]+)`', row)}

@pytest.mark.parametrize('module', TSAI)
def test_no_name_is_left_out(module):
    left = [n for n in TSAI[module] if n not in named and not hasattr(xceptiontime.all, n)]
    assert (module in modules())==bool(left), left

def test_modules_are_those_of_tsai(): assert modules() <= set(TSAI)

def test_names_are_those_of_tsai():
    of_tsai = {n for names in TSAI.values() for n in names}
    older = {'get_UCR_multivariate_data','get_UCR_univariate_data'} # of earlier versions
    assert named-of_tsai <= older

def test_options_of_the_plus_network():
    table = next(s for s in sources if s.startswith('#| echo: false\noptions = ['))
    options = """seq_len nf nb_filters coord norm concat_pool adaptive_size custom_head residual zero_norm
        act act_kwargs ks kss bottleneck separable bn_1st norm_act"""
    assert [o for o in options.split() if f'`{o}`' not in table]==[]
