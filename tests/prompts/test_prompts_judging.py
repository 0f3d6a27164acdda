"""What assertions rest on: languages, and schemas that never leave this machine."""

from __future__ import annotations

import socket
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.core import BadInput
from trimtab.prompts import LANGUAGES, broken_rule, language_of
from trimtab.prompts.schemas import check_schema

SENTENCES = """
en The label that live traffic follows is called production.
en You can return it within 30 days of delivery.
de Sie können den Artikel innerhalb von 30 Tagen zurückgeben.
de Das ist nicht mehr möglich, weil der Vertrag aus ist.
fr Vous pouvez renvoyer l’article dans les trente jours.
fr La clé n'est plus valable et elle sera remplacée.
es Puede devolver el artículo en los 30 días siguientes a la entrega.
es No se puede cambiar la clave sin el código.
it Può restituire l'articolo entro 30 giorni dalla consegna.
it La chiave non è più valida e deve essere cambiata.
pt Você pode devolver o artigo em até 30 dias após a entrega.
pt A chave não é mais válida e será substituída.
nl U kunt het artikel binnen 30 dagen na levering terugsturen.
nl De sleutel is niet meer geldig en wordt vervangen.
sv Du kan skicka tillbaka varan inom 30 dagar efter att den har kommit.
sv Det är inte längre möjligt att ändra den.
da Du kan sende varen tilbage inden for 30 dage, hvis du ikke er tilfreds.
da Det er ikke muligt at ændre den efter køb.
pl Nie można zmienić klucza, który jest już używany przez inny system.
pl To jest możliwe tylko do końca roku.
cs Klíč není platný a musí být nahrazen, protože už ho nelze použít.
cs To je možné jen do konce roku, ale ne déle.
tr Bu ürün için iade süresi 30 gün ve daha sonra geri alınmaz.
tr Anahtar artık geçerli değil ve yenisi ile değişir.
fi Voit palauttaa tuotteen, jos se ei ole sitä mitä tilasit.
fi Avain ei ole enää voimassa ja se on vaihdettava.
ro Puteți returna produsul în termen de 30 de zile de la livrare.
ro Cheia nu mai este valabilă și va fi înlocuită.
hu A kulcs már nem érvényes, és ezt ki kell cserélni.
hu Ez a termék nem küldhető vissza, mert már használt volt.
id Anda dapat mengembalikan barang dalam 30 hari setelah diterima.
id Kunci ini tidak berlaku dan akan diganti.
ru Вы можете вернуть товар в течение 30 дней.
uk Ви можете повернути товар протягом 30 днів, якщо він не підійшов.
el Μπορείτε να επιστρέψετε το προϊόν.
ja 30日以内に返品できます。
ja 鍵は無効です
zh 您可以在三十天内退货。
ko 30일 이내에 반품할 수 있습니다.
ar يمكنك إرجاع المنتج خلال 30 يوما.
fa می‌توانید کالا را پس از خرید برگردانید، چون گارانتی دارد.
he אפשר להחזיר את המוצר תוך 30 יום.
hi आप 30 दिनों में वापस कर सकते हैं।
th คุณสามารถคืนสินค้าได้ภายใน 30 วัน
""".strip().splitlines()


@pytest.mark.parametrize(("language", "text"), [line.split(" ", 1) for line in SENTENCES])
def test_a_plain_sentence_is_told(language: str, text: str) -> None:
    assert language in LANGUAGES
    assert language_of(text) == language


@pytest.mark.parametrize(
    "text",
    ["", "42", "ok", "OK, yes.", "[1]", "https://example.org/the/of/and", "```\nthe of and to in is\n```", "🙂🙂🙂🙂🙂",
     "Lorem ipsum dolor sit amet", "Müller Schmidt Meier Schulze"],
)  # fmt: skip
def test_what_says_too_little_is_not_guessed(text: str) -> None:
    assert language_of(text) == ""


def test_code_and_addresses_do_not_count() -> None:
    code = "```python\nfor the in of: and to in is that it was on are as with\n```"
    assert language_of(f"Das ist der Aufruf, den Sie nicht mehr verwenden sollten: {code}") == "de"


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=300))
def test_any_text_has_a_known_language_or_none(text: str) -> None:
    assert language_of(text) in ("", *LANGUAGES)


@pytest.mark.parametrize(
    "reference",
    ["http://127.0.0.1:1/s.json", "https://example.org/s.json", "file:///etc/passwd", "other.json", "//example.org/x",
     "ftp://example.org/x", "json-schema:///x"],
)  # fmt: skip
def test_a_schema_that_points_elsewhere_is_refused_and_nothing_is_opened(
    reference: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    for schema in (
        {"$ref": reference},
        {"properties": {"a": {"items": {"$ref": reference}}}},
        {"$dynamicRef": reference},
    ):
        with pytest.raises(BadInput, match="JSON Schema") as caught:
            check_schema(schema, "output_schema")
        assert "inside the schema" in caught.value.mend


def test_the_network_is_not_asked_by_native_code_either() -> None:
    """A listener that nobody may call: native code does not pass through Python's sockets."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.settimeout(0.2)
        with pytest.raises(BadInput):
            check_schema({"$ref": f"http://127.0.0.1:{listener.getsockname()[1]}/s.json"}, "output_schema")
        with pytest.raises(TimeoutError):
            listener.accept()


def test_a_broken_rule_is_named_with_its_place() -> None:
    schema = {"type": "object", "required": ["a"], "properties": {"a": {"type": "array", "items": {"minimum": 3}}}}
    check_schema(schema, "s")
    assert broken_rule(schema, {"a": [3, 4]}) == ""
    assert broken_rule(schema, {"a": [3, 1]}).startswith("a[1]: ")
    assert broken_rule(schema, {}).startswith("the answer: ")


def test_a_pattern_in_a_schema_takes_linear_time() -> None:
    schema = {"type": "string", "pattern": "^(a+)+$"}
    check_schema(schema, "s")
    since = time.process_time()
    assert broken_rule(schema, "a" * 50_000 + "!")
    assert time.process_time() - since < 1.0
