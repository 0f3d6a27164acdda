"""What words mean to the model: a small lexicon of concepts in some thirty languages.

Character and word n-grams learn the wordings they were shown. Concepts carry over: "ignore the rules above" and
"vergiss deine bisherigen Anweisungen" are both *override* near *prior* near *rules*. A word that ends in ``*`` stands
for every word that begins so. Words of scripts without spaces are cut out of a run of letters.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import NamedTuple

_WORDS: dict[str, str] = {
    "override": """ignor* disregard* forget* forgot overrid* overwrit* bypass* neglect* overlook* dismiss*
        discard* abandon* supersed* circumvent* disobey* violat* unlearn* nullif* void* evad* revok* disabl*
        cancel* erase suspend* deactivat* omit* skip* remov* vergiss vergess* missacht* umgeh* überschreib*
        außer olvid* ignora* desobedec* anul* omite ignorez oubli* contourn* outrepass* esquec* desconsider*
        dimentic* trascur* scorda* aggira* negeer vergeet omzeil* zignoruj* zapomn* pomiń игнорир* проигнорир*
        забуд* забыт* обойди отмен* yoksay unut* görmezden 忽略 无视 忘记 忽視 忘掉 绕过 不要理会 無視 忘れ 回避
        무시 잊어 تجاهل انس अनदेखा भूल""",
    "prior": """previous* prior preceding above earlier former foregoing past initial original existing
        beforehand vorherig* vorangegangen* bisherig* obig* früher* zuvor anterior* previa* previo* precedent*
        précédent* antérieur* dessus eerder* voorgaand* vorige bovenstaand* poprzedni* wcześniejsz* предыдущ*
        прежн* ранее выше önceki 之前 以前 先前 上面 以上 上述 前面 これまで 前の 上記 이전 위의 السابق* पिछले""",
    "rules": """instruction* instruct prompt prompts rule rules guideline* directive* command commands orders
        policy policies restriction* constraint* limitation* safeguard* safety filter filters guardrail* ethic*
        moral* programming protocol* boundar* censorship alignment guidance directions anweisung* regel regeln
        vorgab* richtlini* beschränkung* instruccion* regla reglas norma normas restriccion* consigne* règle
        règles directiv* instrução instruções regra regras istruzion* regol* instructie* regels richtlijn*
        instrukcj* zasad* polece* инструкци* правил* указани* ограничени* подсказк* talimat* kural* 指令 指示
        规则 規則 提示词 提示 限制 规定 命令 ルール 制限 プロンプト 지시 규칙 명령 프롬프트 تعليمات القواعد
        निर्देश नियम""",
    "reveal": """reveal* show showing print* display* output* repeat* disclose* divulge* leak* dump* expose*
        recite* echo tell spit paste copy regurgitat* verbatim expos* extract* retriev* transcribe zeig* verrat*
        gib nenne ausgib wiederhol* offenbar* offenleg* muestra* muéstra* revel* repite* imprim* enseña* dime
        affich* montre* révèl* répèt* donne divulgu* mostre exib* repita diga mostra* rivela* ripeti* stampa
        dimmi toon* laat onthul* herhaal* pokaż* ujawnij powtórz wypisz покаж* раскр* повтор* выведи напиши
        скажи göster* açıkla yazdır 告诉 显示 透露 输出 重复 打印 展示 泄露 教えて 表示 出力 繰り返 보여 출력
        알려 반복 اعرض اكشف كرر दिखा बता दोहरा""",
    "hidden": """system hidden secret secrets confidential internal developer developers admin administrator
        root sudo privileged debug maintenance backend configuration config metaprompt preamble verborgen*
        geheim* systemprompt oculto* ocult* secreto* sistema système caché cachée secrète interne nascost*
        segret* verborgen systeem geheime ukryt* tajn* systemow* системн* скрыт* секретн* внутренн* gizli sistem
        系统 隐藏 秘密 内部 开发者 管理员 システム 隠 秘密の 管理者 시스템 비밀 숨겨진 관리자 النظام السري
        सिस्टम गुप्त""",
    "you": """you your yours yourself u ur thou thy du dein* dich dir ihr euer tu tus te ti tuyo vos usted su
        ton ta tes toi vous votre vos você seu sua teu tua tuo tue tuoi je jij jouw uw twoj* twój ciebie ты твой
        тво* тебе тебя вы ваш* вам sen senin 你 您 你的 あなた 君 お前 너 당신 أنت तुम आप आपके""",
    "model": """ai assistant assistants chatgpt gpt gpt3 gpt4 llm llms chatbot bot claude openai gemini bard
        llama anthropic copilot ki assistent* asistente ia modèle modelo modello modell asystent* модел*
        ассистент* бот yapay asistan 人工智能 助手 模型 アシスタント モデル 인공지능 어시스턴트 المساعد सहायक""",
    "role": """act acting pretend* roleplay* role simulat* impersonat* persona personas personality character
        characters behave embody emulate portray become transform spiel* verhalte benimm tue actúa* finge*
        compórtate simula* agis fais prétend* joue comporte* aja finja comporte interprete agisci fingi
        comportati interpreta gedraag speel udawaj zachowuj działaj веди притвор* представь действуй играй
        davran 扮演 假装 充当 模拟 角色 演じ ふり なりきって 행동 역할 연기 تصرف تظاهر अभिनय""",
    "free": """unrestricted unfiltered uncensored unlimited unbound* unconstrained unmoderated jailbreak*
        jailbroken dan amoral unethical illegal immoral limitless lawless evil rogue chained shackle* freed
        liberated boundless godmode stan dude aim uneingeschränkt* unzensiert* ungefiltert* grenzenlos*
        irrestrict* censura filtros límites limites ilimitad* filtre* censure illimité* restrições restrizioni
        filtri zonder filters nieograniczon* bez неограничен* цензур* фильтр* ограничений sınırsız sansürsüz
        不受限制 无限制 越狱 没有限制 无审查 制限なし 無制限 脱獄 제한없 무제한 탈옥 قيود बिना""",
    "negate": """no not never without nor none dont don cannot cant wont nothing nobody kein* nicht nie niemals
        ohne nunca sin ningun* jamais sans aucun* não nunca sem nenhum* non mai senza nessun* niet geen nooit
        nie bez nigdy не нет никогда без hiçbir asla 不 没有 不要 不会 ない なし しない 않 없 لا بدون नहीं""",
    "now": """now henceforth onward onwards onward instead new next afterwards starting anymore subsequently
        jetzt ab stattdessen neue neuen ahora nuevo nueva nuevas adelante maintenant désormais nouvelle* plutôt
        agora nova novas adesso ora nuova nuove nu voortaan nieuwe teraz odtąd nowe теперь отныне новые вместо
        şimdi artık 现在 从现在 新的 今后 今から これから 新しい 지금 이제 새로운 الآن جديدة अब नई""",
    "refuse": """refus* declin* sorry apologi* warn warning warnings disclaimer* caveat* moraliz* lecture*
        decline weiger* ablehn* warnung* rechaz* niegue* advertencia* refuser avertissement* recus* avvertenz*
        waarschuwing* odmaw* отказ* предупрежд* reddet* 拒绝 警告 抱歉 拒否 거부 رفض मना""",
    "comply": """must comply complying obey* follow always answer answers respond* reply fulfill execute abide
        adhere shall strictly mandatory gehorch* befolg* folge musst antworte* obedec* sigue responde* debes
        obéi* suis réponds dois obede* siga responda deve* obbed* segui rispondi devi gehoorzaam volg antwoord
        słuchaj odpowiada* musisz повину* следуй отвечай должен выполн* 必须 遵守 服从 回答 执行 従 答え 必ず
        따르 대답 반드시 يجب أجب पालन""",
    "send": """send sends sending forward email mail post upload transfer transmit exfiltrat* submit invite
        visit click navigate browse download delete install purchase buy pay wire append attach fetch curl wget
        sende schicke leite überweise lösche lade envía* enviar reenvía* transfiere borra descarga envoie*
        transfère* supprime* télécharge* envie encaminhe transfira apague baixe invia* inoltra trasferisci
        elimina scarica stuur verwijder wyślij prześlij usuń отправ* перешл* перевед* удали скачай gönder* sil
        发送 转发 转账 删除 下载 上传 送信 転送 削除 보내 전송 삭제 أرسل احذف भेज""",
    "place": """http https www url urls link links website webhook endpoint address iban account inbox server
        site ftp konto adresse enlace sitio cuenta lien compte conta indirizzo conto rekening konta ссылк* адрес
        счет сайт 网址 链接 邮箱 账户 リンク アドレス 링크 주소 الرابط""",
    "loot": """password* passwd passcode apikey api token tokens cookie cookies credential* ssn credit card
        history conversation conversations chats messages contacts inbox keys passwort* zugangsdaten contraseña*
        mot passe senha* wachtwoord hasł* парол* şifre 密码 密钥 凭证 パスワード 비밀번호 كلمة पासवर्ड""",
    "reply": """response responses reply replies answer answers output outputs summary sentence paragraph
        completion antwort* respuesta* réponse* resposta* risposta* odpowied* ответ* yanıt 回复 回答 答案 返信
        回答に 답변 الرد""",
    "mark": """user human sysprompt inst im_start im_end endoftext begin end start eos bos sys prompt> </system>
        </user>""",
    "urgent": """important urgent attention critical immediately priority emergency notice mandatory asap
        wichtig achtung dringend importante urgente atención attention important importante atenção belangrijk
        ważne uwaga важно внимание срочно önemli 重要 注意 紧急 緊急 중요 مهم महत्वपूर्ण""",
    "grant": """access granted authorized authorised authenticated verified clearance permission permitted
        unlocked enabled activated activate enable engage mode enter overridden zugriff gewährt acceso concedido
        accès accordé modus modo режим tryb mod 模式 权限 授权 モード 許可 모드 허가 وضع मोड""",
    "task": """task tasks request requested goal objective step continue proceed finish complete before after
        first then incomplete aufgabe tarea tâche tarefa compito taak zadanie задач* 任务 タスク 작업 المهمة
        कार्य""",
    "harm": """bomb* explosive* weapon* malware ransomware virus hack* exploit* phish* steal* theft fraud
        launder* counterfeit* kill* murder* suicid* poison* drug drugs meth cocaine hate racist violen* terror*
        illegal* kidnap* blackmail* traffick* stalk* explod* grenade* gun guns firearm* ammunition detonat*
        arson* assassin* assault* attack* sabotag* smuggl* extort* abus* scam* fraudul* forg* forge forged
        counterfeit* theft thief stolen stole robb* burgl* lethal deadly dangerous toxic toxin* nerve heroin
        fentanyl opioid* spyware keylogger* botnet* trojan* spoof* ddos dox doxx* harass* bully* bullying slur*
        racis* sexis* antisemit* genocid* extremis* propaganda misinformation disinformation defam* discriminat*
        incit* hatred torture* rape molest* groom underage anorexi* bulimi* selfharm self-harm harm harmful
        bribe* brib* embezzl* evasion tamper* rig rigged hijack* unauthori* untraceable undetected pirat*
        plagiari* cheat* manipulat* insecurit* exploitation victim* crime* criminal* bombe waffe bomba arma
        armas bombe arme broń бомб* оружи* bomba silah 炸弹 武器 爆弾 폭탄 무기 قنبلة बम""",
}
#: Words of languages that no training text is in. They are read as concepts and as nothing else, so that what the
#: model learned of override, prior, rules and their order holds for them too.
FURTHER: dict[str, str] = {
    "override": """ignorera strunta glöm bortse åsidosätt tilsidesæt glem overse ohita* unohda* sivuuta*
        zapomeň* zabudni* obíď* přepiš* felejts* hagyd mellőz* uită* αγνόησε αγνοήστε ξέχασε ξεχάστε παράκαμψε
        παράβλεψε ігноруй* проігноруй* обійди* забрави* התעלם התעלמי התעלמו שכח שכחי שכחו תתעלם نادیده فراموش
        উপেক্ষা ভুলে ভুলুন অগ্রাহ্য เพิกเฉย ละเว้น ลืม ไม่สนใจ bỏ quên abaikan lupakan langgar puuza* sahau*
        भुला* भूल* नज़रअंदाज* अनदेखी""",
    "prior": """tidigare föregående ovanstående forrige foregående ovenstående tidligere ovenfor aiem* edelli*
        aikaisem* yllä předchozí* předešl* dřívější* predchádzajúc* predošl* korábbi* előző* fenti* anterioar*
        προηγούμεν* παραπάνω попередн* раніш* вище предишн* הקודמות הקודם הקודמים הקודמת לעיל قبلی پیشین بالا
        আগের পূর্ববর্তী উপরের ก่อนหน้า ข้างต้น ที่แล้ว trước sebelumnya terdahulu awali iliyopita zilizopita
        पूर्व""",
    "rules": """anvisning* regler* riktlinj* retningslinj* begränsning* begrænsning* begrensning* prompten ohje*
        määräy* sään* rajoituks* kehot* pokyn* pravidl* omezen* inštrukci* utasítás* szabály* korlátoz*
        irányelv* instrucțiun* reguli* οδηγίες οδηγιών κανόνες κανόνων εντολές περιορισμ* інструкц* вказівк*
        обмежен* ההוראות הוראות הוראותיך הכללים כללים ההנחיות הנחיות ההגבלות دستورات دستورالعمل* دستور قوانین
        محدودیت* নির্দেশ* নিয়ম* প্রম্পট* คำสั่ง กฎ ข้อจำกัด พรอมต์ คำแนะนำ lệnh tắc instruksi aturan perintah
        arahan batasan maagizo sheria kanuni निर्देश* नियम* प्रॉम्प्ट* आदेश*""",
    "reveal": """avslöja berätta upprepa afslør avslør fortæl fortell gentag gjenta näytä paljasta tulosta kerro
        toista ukaž* zobraz* prozraď* vypiš* odhal* ukáž* prezraď* mutas* fedd áruld nyomtas* ismétel* arată*
        dezvălui* afișează* δείξε δείξτε αποκάλυψε αποκαλύψτε εμφάνισε γράψε επανάλαβε розкрий* виведи* повтори*
        הצג הציגי הראה חשוף גלה הדפס חזור והצג نشان نمایش فاش بگو چاپ দেখান দেখাও প্রকাশ বলুন แสดง เปิดเผย พิมพ์
        บอก hiển lộ tiết tampilkan tunjukkan ungkapkan cetak ulangi onyesha* fichua* दिखा* बता* उजागर""",
    "hidden": """systemprompten systeminstruktion* hemlig* hemmelig* skjult* dold* järjestelmä* salai* piilotet*
        sisäi* systémov* skryt* tajn* tajné rendszer* titkos* rejtett* ascuns* συστήματος σύστημα κρυφ* μυστικ*
        прихован* таємн* הסודי הסודיות הנסתר סודי سیستم سیستمی مخفی محرمانه সিস্টেম* গোপন* ระบบ ลับ ซ่อน thống
        mật rahasia tersembunyi mfumo सिस्टम* गुप्त* छिपे""",
    "you": """ditt dina dine sinun sinä sinulla tvoje tvé tvůj tvoj tvoju svůj svoj tiéd tău σου εσύ твій твої
        твою ти тебе שלך אתה את خود شما تو আপনার আপনি তোমার bạn kamu wako yako wewe अपना अपने अपनी तुम्हारे""",
    "model": """assistenten tekoäly avustaja asistent umělá inteligence asszisztens asistentul βοηθός μοντέλο
        асистент* העוזר עוזר مدل دستیار সহকারী মডেল ผู้ช่วย โมเดล asisten msaidizi मॉडल*""",
    "free": """obegränsad* ocensurerad* ubegrænset ucensureret ubegrenset usensurert rajoittamaton sensuroimaton
        neomezen* necenzurovan* neobmedzen* korlátlan* cenzúrázatlan nelimitat* απεριόριστ* необмежен*
        нецензурован* সীমাহীন ไม่จำกัด ไร้ข้อจำกัด""",
    "negate": """aldrig utan ikke aldri uten älä ei ilman koskaan žádn* soha nem nélkül niciodată fără μη μην
        δεν χωρίς ні без ніколи אל לא ללא בלי نه نکن بدون না ছাড়া ไม่ ห้าม không đừng tidak jangan tanpa bila
        मत बिना""",
    "now": """från härmed nå nyt tästä nyní teď odteraz mostantól acum τώρα тепер зараз відтепер עכשיו מעתה
        اکنون الان এখন ตอนนี้ ต่อไปนี้ giờ sekarang sasa अब""",
    "role": """agera låtsas spela opfør opptre esitä teeskentele näyttele předstírej hraj chovej tegyél
        viselkedj comportă κάνε προσποιήσου παίξε вдавай грай дій שחק תתנהג העמד وانمود رفتار نقش ভান অভিনয়
        แสร้ง สวมบทบาท berpura* bertindak berperan jifanye अभिनय बनकर""",
}
#: The concepts, in the order of their numbers.
CONCEPTS = tuple(_WORDS)
#: Letters of scripts that write words without spaces, or glue particles to them, as a class of an expression.
SPACELESS = "\u0e00-\u0eff\u1100-\u11ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7ff"
#: Stems are looked up by their first letters.
_PREFIX = 2


class _Lexicon(NamedTuple):
    exact: Mapping[str, int]
    stems: Mapping[str, tuple[str, ...]]  # by their first letters, longest first
    numbers: Mapping[str, int]


@cache
def _lexicon() -> _Lexicon:
    exact: dict[str, int] = {}
    numbers: dict[str, int] = {}
    for table in (_WORDS, FURTHER):  # in that order: what the model was trained with stays as it was
        for name, words in table.items():
            number = CONCEPTS.index(name)
            for word in words.split():
                if word.endswith("*"):
                    numbers.setdefault(word[:-1], number)
                else:
                    exact.setdefault(word, number)
    stems: dict[str, tuple[str, ...]] = {}
    for stem in sorted(numbers, key=len, reverse=True):
        stems[stem[:_PREFIX]] = (*stems.get(stem[:_PREFIX], ()), stem)
    return _Lexicon(exact, stems, numbers)


def concept_of(word: str) -> int:
    """The number of the concept that a lower-case word stands for; -1 for none."""
    exact, stems, numbers = _lexicon()
    number = exact.get(word)
    if number is not None:
        return number
    for stem in stems.get(word[:_PREFIX], ()):
        if word.startswith(stem):
            return numbers[stem]
    return -1


@cache
def spaceless_words() -> tuple[str, ...]:
    """The lexicon's words of scripts without spaces, longest first.

    They are cut out of a run of letters; everything else there is one letter each.
    """
    written = re.compile(f"[{SPACELESS}]")
    return tuple(sorted(filter(written.match, _lexicon().exact), key=len, reverse=True))
