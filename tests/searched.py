"Property tests with a short run, and a long run that is marked slow"
import pytest
from hypothesis import example, given, settings

def searched(*strategies, quick=25, long=150, first=()):
    "`quick` examples, or `long` in the slow part; always those in `first`"
    def two(check):
        def test(n):
            f = given(*strategies)(check)
            for e in first: f = example(*e)(f)
            settings(max_examples=n, deadline=None)(f)()
        test.__doc__ = check.__doc__
        runs = [pytest.param(quick, id='quick'), pytest.param(long, id='long', marks=pytest.mark.slow)]
        return pytest.mark.parametrize('n', runs)(test)
    return two
