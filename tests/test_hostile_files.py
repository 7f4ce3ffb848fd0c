"Files made to cost time or memory are answered in little of both"
import signal
from contextlib import suppress
import pytest
from series_files import file # noqa: F401
from xceptiontime.data.formats import read_series
from xceptiontime.data.times import parse_times

MB = 1_000_000
blanks = b' '*MB
arff = b'@attribute a numeric\n@attribute c {x,y}\n@data\n1,'
names = b','.join(b'c%d'%i for i in range(MB//7))
long = {
    'arff blanks before a quote': ('arff', arff+blanks+b"'x"),
    'arff blanks in a quote that does not end': ('arff', arff+b"'"+blanks+b'x'),
    'arff blanks after a quote': ('arff', arff+b"'x'"+blanks+b'y'),
    'arff a word, blanks, a quote': ('arff', arff+b'x'+blanks+b"'x'"),
    'arff backslashes': ('arff', arff+b"'"+b'\\ '*(MB//2)),
    'arff quotes': ('arff', arff+b"'"*MB),
    'arff two kinds of quotes': ('arff', arff+b"'\""*(MB//2)),
    'arff an attribute of blanks': ('arff', b'@attribute'+blanks+b'{'+blanks),
    'arff blanks in the labels': ('arff', b'@attribute c {x'+blanks+b"'x'}\n"),
    'arff as many labels as rows': ('arff', b'@attribute a numeric\n@attribute c {'
        + b','.join(b'l%d'%i for i in range(MB//14))+b'}\n@data\n'+b''.join(b'1,l%d\n'%i for i in range(MB//14))),
    'ts blanks in a pair': ('ts', b'@timestamps true\n@data\n('+blanks+b',1)'),
    'ts blanks between pairs': ('ts', b'@timestamps true\n@data\n(0,1)'+blanks+b','+blanks+b'x'),
    'ts brackets': ('ts', b'@timestamps true\n@data\n'+b'('*MB),
    'ts blanks in a number': ('ts', b'@data\n1'+blanks+b'x'),
    'ts points': ('ts', b'@data\n'+b'1.'*(MB//2)),
    'ts an exponent': ('ts', b'@data\n1e'+b'1'*MB),
    'ts infinities': ('ts', b'@data\n'+b'inf,'*(MB//4)+b'1e99'),
    'ts colons': ('ts', b'@data\n'+b':'*MB),
    'ts as many labels as rows': ('ts', b'@classLabel true '+b' '.join(b'l%d'%i for i in range(MB//14))+b'\n@data\n'
        + b''.join(b'1:l%d\n'%i for i in range(MB//14))),
    'tsv blanks': ('tsv', b'a'+blanks+b'1'),
    'tsv tabs': ('tsv', b'a'+b'\t'*MB),
    'csv a name twice, of very many': ('csv', names+b',c%d\n1,2'%(MB//7-1)),
    'csv a quote that does not end': ('csv', b'a,b\n"'+b'\n'*MB),
    'csv blanks': ('csv', b'a,b\n1,2'+blanks),
}

times = [o*(MB//len(o)) for o in ('1', '1:', '1.', '1/', 'jan ', '1 jan', ' ', '1:00 ', '1.1.2020 ')]

def too_slow(*_): raise TimeoutError('it takes more than a time that grows with the length')

@pytest.mark.parametrize('end,text', long.values(), ids=long)
def test_a_megabyte_takes_linear_time(file, end, text):
    "Each takes less than 2 s; what grows with the square would run for hours, and is stopped after 60"
    before = signal.signal(signal.SIGVTALRM, too_slow)
    signal.setitimer(signal.ITIMER_VIRTUAL, 60)
    try: read_series(file(text, f'p.{end}'))
    except ValueError as e: assert ': expected ' in str(e) and len(str(e).splitlines())==1
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)

@pytest.mark.parametrize('text', times, ids=lambda o: o[:9])
def test_a_long_time_takes_linear_time(text):
    def fail(i, hint): raise ValueError
    before = signal.signal(signal.SIGVTALRM, too_slow)
    signal.setitimer(signal.ITIMER_VIRTUAL, 20)
    try:
        for o in (text, text+'x'):
            with suppress(ValueError): parse_times([o], None, fail)
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
