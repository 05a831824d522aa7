from utils import preflight
from utils.config import Config
from utils.preflight import permissions


def test_each_permission_is_named_in_words_of_its_own():
    for layout in permissions.POLICIES:
        statements = preflight.statements(Config("local", "sagemaker-x", "us-east-1", "000000000000", layout))
        words = [permissions.need(statement) for statement in statements]
        assert len(set(words)) == len(words)
        assert all(each.startswith("permission to ") and "narrower" not in each for each in words)
        assert {*permissions.IN_WORDS} <= {statement["Sid"] for statement in statements}
