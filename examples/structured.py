"""Answers as values: JSON of any shape, a pydantic model, a list of them. Runs without keys."""

import asyncio

from pydantic import BaseModel

from majordomo_cascade import LLMCascade, ResponseValidationError
from majordomo_cascade.testing import LoopbackProvider, Reply


class Invoice(BaseModel):
    number: str
    total: float
    paid: bool = False


async def main() -> None:
    answers = (
        Reply('Here you are:\n```json\n{"currency": "EUR", "items": 3}\n```'),
        Reply('{"number": "A-17", "total": 99.5}'),
        Reply('{"value": [{"number": "A-17", "total": 99.5}, {"number": "A-18", "total": 12, "paid": true}]}'),
        Reply('{"number": "A-17", "total": "a lot"}'),
    )
    with LoopbackProvider(*answers) as provider:
        cascade = LLMCascade([provider.target("openai", "gpt-4.1")])

        anything = await cascade.get_json_response("What is on the invoice?")
        print(anything.content)

        one = await cascade.get_structured_json_response(Invoice, "Read the invoice.")
        print(one.content.number, one.content.total, one.content.paid)

        many = await cascade.get_structured_json_response(list[Invoice], "Read all invoices.")
        print([invoice.number for invoice in many.content if invoice.paid])

        try:
            await cascade.get_structured_json_response(Invoice, "Read the invoice.")
        except ResponseValidationError as error:
            print(error)


if __name__ == "__main__":
    asyncio.run(main())
