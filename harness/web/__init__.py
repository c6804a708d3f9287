"""One patient HTTP client: asks again where that may help, and keeps keys to itself.

`client` asks, `many` asks several questions at a time, `pace` keeps requests apart, `waiting` says
how long to pause and who hears of it, `key` where a key is, `hub` what errors of Hugging Face's
libraries mean to a person.
"""

from harness.web.client import (
    Busy as Busy,
    Refused as Refused,
    Unreachable as Unreachable,
    Unusable as Unusable,
    Web as Web,
)
from harness.web.hub import hub_error as hub_error
from harness.web.key import key_in as key_in
from harness.web.many import ask_each as ask_each
from harness.web.waiting import (
    patiently as patiently,
    telling as telling,
)
