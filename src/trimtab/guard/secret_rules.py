"""The forms of secrets that providers give out: one rule each, with what marks it.

The forms are public facts: providers document most of them, and gitleaks (MIT) collects them. A rule's pattern is RE2;
its first group, where it has one, is the secret itself. ``entropy`` (bits a character) is the least that a real one
has, for forms without a mark of their own. ``near`` are words of which one must stand close by, for forms that are not telling by themselves.
"""

# ruff: noqa: E501 - a rule a line, so that rules can be compared
from __future__ import annotations

from typing import NamedTuple


class SecretRule(NamedTuple):
    """One form of secret."""

    kind: str
    pattern: str
    entropy: float = 3.0
    near: str = ""


_A = "[A-Za-z0-9]"
_H = "[0-9A-Fa-f]"
_U = "[A-Za-z0-9_-]"

RULES: tuple[SecretRule, ...] = (
    # Models and machine learning
    SecretRule("anthropic-key", rf"sk-ant-(?:admin|api|sid)\d\d-{_U}{{32,}}"),
    SecretRule("openai-key", rf"sk-(?:proj|svcacct|admin|None)-{_U}{{20,}}|sk-{_A}{{20,48}}T3BlbkFJ{_A}{{20,48}}"),
    SecretRule("sk-key", rf"\b(?:sk|rk|pk)-(?:[a-z]{{2,10}}-)?(?:[a-z0-9]{{2,6}}-)?{_U}{{20,}}", 3.3),
    SecretRule("trimtab-key", rf"\btt-{_U}{{20,}}"),
    SecretRule("hugging-face-token", r"\b(?:hf|api_org)_[A-Za-z]{30,50}\b"),
    SecretRule("google-key", rf"\bAIza{_U}{{35}}"),
    SecretRule("replicate-token", rf"\br8_{_A}{{37,40}}\b"),
    SecretRule("groq-key", rf"\bgsk_{_A}{{48,56}}\b"),
    SecretRule("xai-key", rf"\bxai-{_A}{{70,90}}\b"),
    SecretRule("perplexity-key", rf"\bpplx-{_A}{{40,56}}\b"),
    SecretRule("langsmith-key", rf"\blsv2_(?:pt|sk)_{_H}{{32}}_{_H}{{10}}\b"),
    SecretRule("cohere-key", rf"\b({_A}{{40}})\b", 4.0, "cohere|co_api_key"),
    # Clouds
    SecretRule("aws-access-key", r"\b((?:A3T[A-Z0-9]|ABIA|ACCA|AKIA|ASIA|AROA|AIDA)[A-Z2-7]{16})\b"),
    SecretRule("aws-access-key", r"\b((?:AKIA|ASIA)[A-Z0-9]{16})\b"),
    SecretRule("aws-secret-key", r"\b([A-Za-z0-9/+]{40})(?:[^A-Za-z0-9/+=]|$)", 4.0, "aws|amazon|secret.?access.?key"),
    SecretRule("aws-bedrock-key", r"\b(ABSK[A-Za-z0-9+/]{109,}={0,2}|bedrock-api-key-[A-Za-z0-9+/=]{16,})"),
    SecretRule("azure-client-secret", r"(?:^|[^A-Za-z0-9_~.-])([A-Za-z0-9_~.-]{3}\dQ~[A-Za-z0-9_~.-]{31,34})(?:[^A-Za-z0-9_~-]|$)"),
    SecretRule("azure-storage-key", r"AccountKey=([A-Za-z0-9+/]{86}==)"),
    SecretRule("google-oauth", rf"\bGOCSPX-{_U}{{28}}|\bya29\.{_U}{{30,}}"),
    SecretRule("alibaba-key", rf"\bLTAI{_A}{{12,20}}\b"),
    SecretRule("tencent-key", rf"\bAKID{_A}{{32}}\b"),
    SecretRule("digitalocean-token", rf"\bdo[opr]_v1_{_H}{{64}}\b"),
    SecretRule("heroku-key", rf"\bHRKU-{_U}{{36,64}}"),
    SecretRule("cloudflare-key", rf"\b(v1\.0-{_H}{{24}}-{_H}{{146}})\b"),
    SecretRule("cloudflare-token", rf"\b({_U}{{40}}|{_H}{{37}})\b", 3.5, "cloudflare"),
    SecretRule("fly-token", r"\bfo1_[\w-]{43}\b|\bfm[12][ar]?_[A-Za-z0-9+/]{60,}={0,3}"),
    SecretRule("scalingo-token", rf"\btk-us-{_U}{{48}}"),
    SecretRule("vercel-token", rf"\b({_A}{{24}})\b", 3.7, "vercel.?(?:token|api)"),
    SecretRule("databricks-token", rf"\bdapi{_H}{{32}}(?:-\d)?\b"),
    SecretRule("snowflake-token", rf"\bver:1-hint:\d{{6,20}}-ETMsDgAAA{_U}{{40,}}"),
    SecretRule("clickhouse-key", rf"\b4b1d{_A}{{38}}\b"),
    SecretRule("planetscale-token", r"\bpscale_(?:tkn|oauth|pw)_[\w=.-]{32,64}"),
    SecretRule("doppler-token", rf"\bdp\.(?:pt|st|ct|sa|scim|audit)\.(?:[a-z0-9_-]{{2,35}}\.)?{_A}{{40,44}}\b"),
    SecretRule("vault-token", rf"\bhv[sbr]\.{_U}{{24,}}|\b(s\.{_A}{{24}})\b", 3.5),
    SecretRule("terraform-token", rf"\b{_A}{{14}}\.atlasv1\.{_U}{{60,70}}"),
    SecretRule("pulumi-token", rf"\bpul-{_H}{{40}}\b"),
    SecretRule("openshift-token", rf"\bsha256~{_U}{{43}}"),
    SecretRule("age-key", r"\bAGE-SECRET-KEY-1[QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L]{58}"),
    SecretRule("tailscale-key", rf"\btskey-[a-z]{{2,12}}-{_A}{{10,40}}-?{_A}{{0,40}}"),
    # Code and builds
    SecretRule("github-token", rf"\bgh[pousr]_{_A}{{36,}}|\bgithub_pat_\w{{60,100}}"),
    SecretRule("gitlab-token", rf"\bgl(?:pat|ptt|rt|rtr|agent|ft|imt|soat|cbt|dt|oas|ffct|wt)-{_U}{{20,}}"),
    SecretRule("gitlab-token", r"\bGR1348941[\w-]{20}|_gitlab_session=[0-9a-z]{32}"),
    SecretRule("bitbucket-token", rf"\bATBB{_A}{{32}}\b|\bATCTT3xFfGN0{_U}{{100,}}"),
    SecretRule("atlassian-token", r"\bATATT3[A-Za-z0-9_\-=]{180,}"),
    SecretRule("npm-token", rf"\bnpm_{_A}{{36}}\b"),
    SecretRule("pypi-token", rf"\bpypi-AgE{_U}{{50,}}"),
    SecretRule("rubygems-token", rf"\brubygems_{_H}{{48}}\b"),
    SecretRule("crates-token", rf"\bcio{_A}{{32}}\b"),
    SecretRule("nuget-key", r"\boy2[a-z0-9]{43}\b"),
    SecretRule("docker-token", rf"\bdckr_(?:pat|oat)_{_U}{{27,40}}"),
    SecretRule("artifactory-token", rf"\bAKC[pP]{_A}{{60,75}}\b|\bcmVmd[A-Za-z0-9]{{59}}\b"),
    SecretRule("jfrog-key", rf"\b({_A}{{73}})\b", 3.5, "jfrog|artifactory|bintray"),
    SecretRule("sonar-token", rf"\bsq[pua]_{_H}{{40}}\b"),
    SecretRule("circleci-token", rf"\bCCI(?:PAT|PRJ)_{_A}{{18,26}}_{_H}{{40}}\b"),
    SecretRule("prefect-token", rf"\bpn[ub]_{_A}{{36}}\b"),
    SecretRule("harness-key", rf"\b[ps]at\.{_U}{{22}}\.{_A}{{24}}\.{_A}{{20}}\b"),
    SecretRule("infracost-key", rf"\bico-{_A}{{32}}\b"),
    SecretRule("octopus-key", r"\bAPI-[A-Z0-9]{26}\b"),
    SecretRule("readme-key", r"\brdme_[a-z0-9]{70}\b"),
    SecretRule("postman-key", rf"\bPMAK-{_H}{{24}}-{_H}{{34}}\b"),
    SecretRule("scalr-token", rf"\bat-us-{_U}{{50,80}}"),
    SecretRule("settlemint-token", rf"\bsm_(?:aat|pat|sat)_{_A}{{16}}\b"),
    # Watching and data
    SecretRule("grafana-key", rf"\beyJrIjoi{_A}{{70,}}={{0,3}}|\bglsa_{_A}{{32}}_{_H}{{8}}\b|\bglc_[A-Za-z0-9+/]{{32,}}={{0,3}}"),
    SecretRule("sentry-token", rf"\bsntryu_{_H}{{64}}\b|\bsntrys_eyJpYXQiO[\w+/=-]{{60,}}"),
    SecretRule("dynatrace-token", r"\bdt0[a-z]\d\d\.[A-Za-z0-9]{24}\.[A-Za-z0-9]{64}\b"),
    SecretRule("new-relic-key", rf"\bNR(?:AK|IQ|JS|AA|RA|II)-{_A}{{19,44}}\b"),
    SecretRule("datadog-key", rf"\b({_H}{{40}}|{_H}{{32}})\b", 3.0, r"datadog|\bdd_(?:api|app)_key"),
    SecretRule("posthog-key", rf"\bph[cx]_{_A}{{40,48}}\b"),
    SecretRule("maxmind-key", r"\b[A-Za-z0-9]{6}_[A-Za-z0-9]{29}_mmk\b"),
    SecretRule("airtable-token", rf"\bpat{_A}{{14}}\.{_H}{{64}}\b"),
    SecretRule("algolia-key", rf"\b({_H}{{32}})\b", 3.0, "algolia"),
    SecretRule("pinecone-key", rf"\bpcsk_{_U}{{50,80}}"),
    SecretRule("supabase-key", rf"\bsb[psa]_(?:secret_|publishable_)?{_A}{{22,40}}\b|\bsbp_{_H}{{40}}\b"),
    # Talking and payments
    SecretRule("slack-token", rf"\bxox[abeoprs]-(?:\d-)?{_U}{{10,}}|\bxapp-\d-[A-Z0-9]{{8,14}}-\d{{8,16}}-{_H}{{32,70}}", 2.5),
    SecretRule("slack-webhook", r"(?:https://)?hooks\.slack\.com/(?:services|workflows|triggers)/[A-Za-z0-9+/]{40,80}"),
    SecretRule("teams-webhook", r"(?:https://[a-z0-9-]{1,100})?\.webhook\.office\.com/webhookb2/[a-z0-9-]{30,40}@[a-z0-9-]{30,40}/IncomingWebhook/[a-z0-9]{32}/[a-z0-9-]{30,40}"),
    SecretRule("discord-webhook", rf"(?:https://)?discord(?:app)?\.com/api/webhooks/\d{{17,20}}/{_U}{{60,80}}"),
    SecretRule("discord-token", rf"\b[MNO][A-Za-z0-9]{{23,27}}\.{_U}{{6}}\.{_U}{{27,38}}"),
    SecretRule("telegram-token", rf"\b\d{{8,10}}:AA{_U}{{33}}\b"),
    SecretRule("twilio-key", r"\b(?:SK|AC)[0-9a-f]{32}\b"),
    SecretRule("sendgrid-key", rf"\bSG\.{_U}{{22}}\.{_U}{{43}}"),
    SecretRule("sendinblue-key", r"\bxkeysib-[a-f0-9]{64}-[A-Za-z0-9]{16}\b"),
    SecretRule("mailgun-key", r"\b(?:key|pubkey)-[a-f0-9]{32}\b"),
    SecretRule("mailchimp-key", r"\b[0-9a-f]{32}-us\d{1,2}\b"),
    SecretRule("stripe-key", rf"\b(?:sk|rk|pk)_(?:live|test|prod)_{_A}{{10,}}\b|\bwhsec_{_A}{{32,64}}\b"),
    SecretRule("square-token", rf"\bsq0(?:atp|csp|idp)-{_U}{{22,43}}|\bEAAA{_U}{{56,64}}"),
    SecretRule("paypal-token", rf"\baccess_token\$(?:production|sandbox)\$[0-9a-z]{{16}}\${_H}{{32}}\b"),
    SecretRule("flutterwave-key", r"\bFLW(?:SECK|PUBK)(?:_TEST|_LIVE)?-[0-9a-z]{12,40}(?:-X)?"),
    SecretRule("shopify-token", rf"\bshp(?:at|ca|pa|ss|ua)_{_H}{{32}}\b"),
    SecretRule("shippo-token", rf"\bshippo_(?:live|test)_{_H}{{40}}\b"),
    SecretRule("easypost-key", rf"\bEZ[AT]K{_A}{{54}}\b"),
    SecretRule("duffel-token", r"\bduffel_(?:test|live)_[A-Za-z0-9_=-]{43}"),
    SecretRule("lob-key", r"\b(?:live|test)(?:_pub)?_[a-f0-9]{31,35}\b"),
    SecretRule("plaid-token", r"\baccess-(?:sandbox|development|production)-[0-9a-f-]{36}\b"),
    SecretRule("frameio-token", r"\bfio-u-[A-Za-z0-9_=-]{64}"),
    SecretRule("linear-key", rf"\blin_(?:api|oauth)_{_A}{{32,64}}\b"),
    SecretRule("notion-token", rf"\bntn_{_A}{{44,50}}\b|\bsecret_{_A}{{43}}\b"),
    SecretRule("figma-token", rf"\bfigd_{_U}{{38,44}}"),
    SecretRule("asana-token", rf"\b\d/\d{{15,17}}(?:/\d{{15,17}})?:{_H}{{32}}\b"),
    SecretRule("hubspot-token", rf"\bpat-(?:na|eu)\d-{_H}{{8}}-(?:{_H}{{4}}-){{3}}{_H}{{12}}\b"),
    SecretRule("typeform-token", r"\btfp_[A-Za-z0-9_.=-]{59}"),
    SecretRule("contentful-token", rf"\bCFPAT-{_U}{{43}}"),
    SecretRule("dropbox-token", rf"\bsl\.(?:u\.)?{_U}{{100,}}|\bsl\.{_U}{{64,100}}"),
    SecretRule("facebook-token", rf"\bEAA[MC]?{_A}{{90,}}\b|\b\d{{15,16}}\|{_U}{{27,40}}"),
    SecretRule("adobe-secret", rf"\bp8e-{_A}{{32}}\b"),
    SecretRule("beamer-token", r"\bb_[A-Za-z0-9=_-]{44}\b"),
    SecretRule("mapbox-token", rf"\b[ps]k\.eyJ1{_A}{{20,}}\.{_U}{{20,30}}"),
    SecretRule("1password-token", r"\bops_eyJ[A-Za-z0-9+/]{200,}={0,3}|\bA3-[A-Z0-9]{6}-(?:[A-Z0-9]{11}|[A-Z0-9]{6}-[A-Z0-9]{5})-[A-Z0-9]{5}-[A-Z0-9]{5}-[A-Z0-9]{5}\b"),
    SecretRule("microsoft-sas", r"[?&]sig=([A-Za-z0-9%+/]{43,60}(?:%3D|=))"),
    # Formats
    SecretRule("json-web-token", r"\bey[A-Za-z0-9_-]{10,}\.ey[A-Za-z0-9/\\_-]{10,}\.(?:[A-Za-z0-9/\\_+=-]{10,})?"),
    SecretRule("private-key", r"-----BEGIN [A-Z0-9 ]{0,30}PRIVATE KEY(?: BLOCK)?-----(?:[^-]*-----END [A-Z0-9 ]{0,30}PRIVATE KEY(?: BLOCK)?-----|(?:\\n|\s|[A-Za-z0-9+/=]{16,})*)", 0.0),
    SecretRule("curl-password", r"\bcurl\b[^\n]{0,300}?\s(?:-u|--user)[\s=]{0,3}[\"']?[^\s:\"'$<{]{1,64}:([^\s\"'$<{]{8,128})", 3.2, "curl"),
    SecretRule("password-in-url", r"\b[a-z][a-z0-9+.-]{2,20}://[^\s:/@'\"<>]{1,60}:([^\s:/@'\"<>{}$]{4,100})@[^\s'\"<>]{3,}", 2.0),
)  # fmt: skip

#: A value that is assigned to a name that says "secret", in code, configuration, a header or a sentence.
ASSIGNED = (
    r"(?i)(?:api|app|auth|access|account|client|consumer|encryption|master|private|secret|session|signing|service|"
    r"storage|deploy|refresh|bearer|bot|license|webhook)?[_.\s-]{0,2}"
    r"(?:secret|token|passw(?:or)?d|passwd|passphrase|pwd|credentials?|api[_.\s-]?key|apikey|auth[_-]?key|"
    r"access[_.\s-]?key|private[_-]?key|secret[_.\s-]?key|signing[_-]?key|license[_-]?key|\bkey|bearer|basic)"
    r"[\"'`\]]{0,2}\s{0,3}(?:=>|:=|==?|:|\bis\b|\bare\b|\s)\s{0,3}[\"'`]{0,3}"
    r"([A-Za-z0-9+/_~.!@#$%^&*?=-]{8,})"
)
#: What stands in place of a secret, even in the form of one.
STAND_IN = (
    r"(?i)example|your[_-]?(?:\w{0,10}[_-]?)?(?:key|token|secret|api)|change.?me|placeholder|dummy|redacted|xxxx|\*{3,}|\.{3}|"
    r"insert|<[a-z_ -]+>|\$\{|\{\{"
)
#: What says so where only the name of a value says that it is a secret.
PLACEHOLDER = (
    r"(?i)example|your[_-]?|change.?me|placeholder|dummy|sample|redacted|fake|insert|replace|todo|xxxx|\*{3,}|\.{3}|"
    r"1234567890|0123456789|abcdefgh|aaaaaaa|0000000|not.?a.?(?:real|secret)|test[_-]?(?:key|token|secret|password)|"
    r"<[a-z_ -]+>|\$\{|\$\(|\{\{|%\(|process\.env|os\.environ|getenv|get_|secrets?\.|config\.|none|null|undefined|"
    r"true|false|string|function|lorem|hunter2"
)
