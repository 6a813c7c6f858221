"""Where this router does not do what the corpus manifest asks for, and why: file -> reason.

Every file named here really is treated differently (`test_corpus.py` asserts it), so the list cannot rot.
"""

from __future__ import annotations

_REGISTRAR = "a REGISTER whose {} only a registrar reads; here the route answers 200"
_CONTACT = _REGISTRAR.format("Contact")
_CREDENTIALS = _REGISTRAR.format("Authorization")

DISAGREEMENTS = {
    "hostile/generated/comma_bomb_contact.sip": _CONTACT,
    "hostile/generated/contact_star_multi.sip": _CONTACT,
    "hostile/cve/cve-2023-28098_auth_1.sip": _CREDENTIALS,
    "hostile/cve/cve-2023-28098_auth_3.sip": _CREDENTIALS,
    "hostile/cve/cve-2023-28098_auth_5.sip": _CREDENTIALS,
    "hostile/cve/cve-2023-28098_auth_7.sip": _CREDENTIALS,
    "hostile/generated/spiral_ok_loop_bad.sip": (
        "its Via names us, but the branch is not one of ours: a spiral, not a loop (RFC 5393 4.2)"
    ),
}
