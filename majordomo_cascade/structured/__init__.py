"""JSON and values of a type: how to ask for and read them."""

from .forms import Form, JSONForm, ValueForm, corrected, type_form

__all__ = ["Form", "JSONForm", "ValueForm", "corrected", "type_form"]
