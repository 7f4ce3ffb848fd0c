"Hands setuptools what `pyproject.toml` leaves to `settings.ini`; edit those two, not this"
import re
from configparser import ConfigParser
from pathlib import Path
from setuptools import find_packages, setup

lib = 'xceptiontime'
def read(fn): return Path(fn).read_text(encoding='utf-8')
ini = ConfigParser(delimiters=['='])
ini.read_string(read('settings.ini'))
cfg = ini['DEFAULT']

setup(
    version=re.search(r'__version__ = "(.+)"', read(f'{lib}/__init__.py'))[1],
    long_description=read('README.md'),
    long_description_content_type='text/markdown',
    author=cfg['author'],
    license_expression=cfg['license'],
    keywords=cfg['keywords'].split(),
    classifiers=[f"Development Status :: {cfg['status']}", f"Intended Audience :: {cfg['audience']}",
                 'Programming Language :: Python :: 3 :: Only'],
    packages=find_packages(include=[lib, f'{lib}.*']),
    install_requires=cfg['requirements'].split(),
    extras_require={k.removesuffix('_requirements'): v.split()
                    for k,v in cfg.items() if k.endswith('_requirements')},
    entry_points=dict(
        console_scripts=[f'{lib}={lib}.start:main'],
        nbdev=[f'{lib}={lib}._modidx:d']),
)
