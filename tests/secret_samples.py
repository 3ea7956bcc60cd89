"""
Invented secrets of each kind, and texts that contain them.
"""

from __future__ import annotations

MIXED = "q7Rz2Kd9Wv4Tb8Yn1Mc6Hf3Jg5Ls0Pa" * 4
HEX = "3f9a1c7e5b2d8064" * 4
PEM_BODY = [MIXED[:64], MIXED[5:69], MIXED[9:30] + "=="]
PEM_BEGIN = "-----BEGIN RSA " + "PRIVATE KEY-----"
PEM = "\n".join([PEM_BEGIN, *PEM_BODY, "-----END RSA " + "PRIVATE KEY-----"])
OPENSSH = PEM.replace("RSA", "OPENSSH").replace("\n", "\r\n")
PGP = PEM.replace("RSA", "PGP").replace(" KEY", " KEY BLOCK").replace("-----\n", "-----\nVersion: GnuPG v2\n\n", 1)
ENCRYPTED = PEM.replace("-----\n", "-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,3F9A\n\n", 1)
AWS_ID = "AK" + "IA" + "Q7RZ2KD9WV4TB8YN"
AWS_SECRET = MIXED[:18] + "/" + MIXED[20:40] + "+"
GITHUB = "gh" + "p_" + MIXED[:36]
OPENAI = "sk-" + "proj-" + MIXED[:40] + "_-" + MIXED[:20]
JWT = ".".join(("ey" + "JhbGciOiJIUzI1NiJ9", "ey" + "JzdWIiOiIxMjM0NTY3ODkwIn0", MIXED[:30] + "-_" + MIXED[:11]))
VALUE = "hunter2" + "-Hunter2"

# Kind, text around it, secret.
SECRETS: list[tuple[str, str, str]] = [
    ("private-key", "key:\n{}\nend", PEM),
    ("private-key", "{}", OPENSSH),
    ("private-key", "{}", PGP),
    ("private-key", "{}", ENCRYPTED),
    ("private-key", "KEY='{}'", PEM.replace("\n", "\\n")),
    ("private-key", "cut: {}", PEM[: PEM.index(PEM_BODY[2]) + 9]),
    ("private-key", "cut: {}\n… 200 tokens truncated", ENCRYPTED[: ENCRYPTED.index(PEM_BODY[2]) + 9]),
    ("private-key", "cut: {}\nand goes on", PEM[: PEM.index(PEM_BODY[2]) - 1]),
    ("private-key", "+{}", PEM.replace("\n", "\n+")),
    ("private-key", "-{}", PEM.replace("\n", "\n-")),
    ("aws-access-key", "id {}.", AWS_ID),
    ("aws-access-key", "'\\n{}'", "AS" + AWS_ID[2:]),
    ("aws-secret-key", "aws_secret_access_key = {}\n", AWS_SECRET),
    ("aws-secret-key", "AWS_SECRET_KEY={}", AWS_SECRET),
    ("aws-secret-key", '"SecretAccessKey": "{}",', AWS_SECRET),
    ("aws-secret-key", "<SecretAccessKey>{}</SecretAccessKey>", AWS_SECRET),
    ("aws-secret-key", "aws configure set aws_secret_access_key {}", AWS_SECRET),
    *(("github-token", "{}", "gh" + letter + GITHUB[3:]) for letter in "pousr"),
    ("github-token", "https://{}@github.com/a/b", GITHUB),
    ("github-token", "https://x-access-token:{}@github.com/a/b", GITHUB),
    ("github-token", "GITHUB_TOKEN={}", GITHUB),
    ("github-token", "Authorization: token {}", GITHUB),
    ("github-token", "{}", "github" + "_pat_" + MIXED[:22] + "_" + MIXED[:59]),
    ("gitlab-token", "{} is it", "gl" + "pat-" + MIXED[:18] + "-_"),
    ("gitlab-token", "{}", "gl" + "pat-" + MIXED[:27] + ".01.0w1x" + "3k9ab"),
    *(("slack-token", "({})", "xo" + f"x{letter}-12345678901-{MIXED[:24]}") for letter in "abposr"),
    ("slack-webhook", "https://hooks.slack.com/services/{}", f"T{MIXED[:9]}/B{MIXED[:9]}/{MIXED[:24]}"),
    ("openai-key", "key={}", OPENAI),
    ("openai-key", "key={}", "sk-" + MIXED[:48]),
    ("anthropic-key", "x-api-key: {}", "sk-" + "ant-api03-" + MIXED[:80] + "-_" + MIXED[:13]),
    ("google-key", "?key={}&a=b", "AI" + "za" + MIXED[:30] + "-_" + MIXED[:3]),
    ("stripe-key", "{}", "sk" + "_live_" + MIXED[:24]),
    ("stripe-key", "{}", "rk" + "_live_" + MIXED[:24]),
    ("npm-token", "_authToken={}", "np" + "m_" + MIXED[:36]),
    ("pypi-token", "{}", "py" + "pi-AgEIcHlwaS5vcmc" + MIXED[:60]),
    ("huggingface-token", "HF={}", "h" + "f_" + MIXED[:34]),
    ("jwt", "{}", JWT),
    ("jwt", "\n+{}", JWT),
    ("jwt", "Cookie: session={};", JWT),
    ("jwt", "Authorization: Bearer {}", JWT),
    ("authorization-header", "Authorization: Bearer {}\r\n", "a" + VALUE),
    ("authorization-header", "-H 'authorization: Basic {}'", "dXNlcjpwYXNz" + "d29yZA=="),
    ("authorization-header", '"Authorization": "Basic {}"', "dXNlcjpw" + "YXNz"),
    ("authorization-header", '\\"Authorization\\": \\"Bearer {}\\"', VALUE),
    ("authorization-header", "headers['Authorization'] = 'Bearer {}'", VALUE),
    ("url-password", "postgres://app:{}@db.local:5432/app", "hunter2"),
    ("url-password", "redis://:{}@cache", "p@ss!w0rd"),
    ("url-password", "https://bob:{}@bücher.example/", "correcthorse"),
    ("sendgrid-key", "{}", "S" + f"G.{MIXED[:20]}-_.{MIXED[:43]}"),
    ("twilio-key", "{}", "S" + "K" + HEX[:32]),
    ("digitalocean-token", "{}", "do" + "p_v1_" + HEX[:64]),
    ("azure-storage-key", "AccountName=a;AccountKey={};Endpoint=b", MIXED[:86] + "=="),
    ("password", 'password = "{}"', VALUE),
    ("password", "PASSWORD: '{}'", VALUE),
    ("password", '"password":"{}"', 'a\\"b' + VALUE),
    ("password", '{\\"password\\": \\"{}\\"}', VALUE),
    ("password", "self.passwd: str = r'{}'", VALUE),
    ("password", "if pwd == `{}`", VALUE),
    ("password", "passphrase => '{}'", VALUE),
    ("password", "DB_PASS={}\n", VALUE),
    ("password", "export PGPASSWORD={} psql", VALUE),
    ("password", "os.environ['PGPASSWORD'] = '{}'", VALUE),
    ("password", 'İ password = "{}"', VALUE),
    ("secret", "client_secret: '{}'", VALUE),
    ("secret", "SECRET_KEY = '{}'", "django-" + VALUE),
    ("token", 'token="{}"', VALUE),
    ("token", "ACCESS_TOKEN={}", VALUE),
    ("token", "?access_token={}&a", MIXED[:24]),
    ("api-key", 'apiKey: "{}"', VALUE),
    ("api-key", "x-api-key: {}", MIXED[:24]),
    ("api-key", '"api_key": "{}"', VALUE),
]
KEYS = sorted({secret for kind, text, secret in SECRETS if text == "{}"})
