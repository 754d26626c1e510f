// A small client of the webchat service: ./run-csharp [ADDRESS [FILE_URL]], with the proxy that wsdl makes.
using System;
using System.IO;
using System.Linq;
using System.Net;
using System.Threading;
using System.Web.Services.Protocols;
using System.Xml.Serialization;

// The detail of a fault, for which the wsdl tool makes no class.
[XmlRoot(Namespace = "urn:webchat:v1")]
public class WebchatFault
{
    public string code, message, requestId, field;
    public bool retryable;
    public int? retryAfterSeconds; // limit, actual, httpStatus, line and column can be read alike

    // Null where a fault has no detail: it is about the envelope itself.
    public static WebchatFault Of(SoapException fault)
    {
        if (fault.Detail == null || fault.Detail.FirstChild == null) return null;
        using (var reader = new StringReader(fault.Detail.FirstChild.OuterXml))
            return (WebchatFault)new XmlSerializer(typeof(WebchatFault)).Deserialize(reader);
    }
}

public static class WebchatClient
{
    // Calls until it works or another try cannot help. Every try sends the same clientToken, so the call counts once.
    static T Patiently<T>(Func<T> call)
    {
        for (int attempt = 0; ; attempt++)
        {
            int seconds = 1 << attempt;
            try { return call(); }
            catch (SoapException fault)
            {
                var detail = WebchatFault.Of(fault);
                if (detail == null || !detail.retryable || attempt == 4) throw;
                seconds = detail.retryAfterSeconds ?? seconds;
            }
            catch (WebException) { if (attempt == 4) throw; } // no answer: the call may have worked
            Console.WriteLine("Trying again in {0} s", seconds);
            Thread.Sleep(seconds * 1000);
        }
    }

    static string NewToken() { return Guid.NewGuid().ToString(); }

    public static void Main(string[] arguments)
    {
        var address = arguments.Length > 0 ? arguments[0] : "http://127.0.0.1:8000";
        // A call answers within 45 seconds, or not at all.
        var webchat = new Webchat { Url = address + "/webchat", Timeout = 60000 };
        // An optional number goes with a flag that says whether it is sent; a list may be null when it is empty.
        Func<string, long, int, Message[]> read = (chatId, after, wait) =>
            webchat.GetMessages(chatId, after, true, 0, false, wait, true).message ?? new Message[0];

        // Without a FILE_URL this sends a file of the chat "demo", which `make run` makes.
        var fileUrl = arguments.Length > 1 ? arguments[1]
            : read("demo", 0, 0).SelectMany(message => message.file ?? new StoredFile[0]).First().fileUrl;

        var token = NewToken();
        var chat = Patiently(() => webchat.StartChat(null, "Ayşe Yılmaz", token));
        var startedAt = chat.startedAt.ToUniversalTime();
        Console.WriteLine("Chat {0} is {1} since {2:yyyy-MM-dd HH:mm:ss} UTC", chat.CHATID, chat.status, startedAt);

        // Write real texts with a JSON library, which escapes what has to be.
        string text = "{\"text\": \"Merhaba! A picture for you:\"}", textToken = NewToken();
        var receipt = Patiently(() => webchat.SendMessage(chat.CHATID, text, textToken));
        Console.WriteLine("Text is message {0}", receipt.sequence);

        // UploadFile posts the file to the chat: do not send its link by SendMessage as well.
        string details = "{\"fileUrl\": \"" + fileUrl + "\"}", fileToken = NewToken();
        receipt = Patiently(() => webchat.UploadFile(chat.CHATID, details, fileToken));
        foreach (var file in receipt.file)
            Console.WriteLine("File is message {0}: {1} of {2} bytes, {3}",
                receipt.sequence, file.fileType, file.size, file.fileUrl);

        // Each poll asks for what follows the last message, and waits for it, until an agent answers or nothing comes.
        long lastSequence = 0;
        Message[] messages;
        do
        {
            messages = Patiently(() => read(chat.CHATID, lastSequence, 10));
            foreach (var message in messages)
            {
                lastSequence = message.sequence;
                var count = message.file == null ? 0 : message.file.Length;
                Console.WriteLine("Message {0} of {1}: {2}, {3} files",
                    lastSequence, message.sender, message.text, count);
            }
        } while (messages.Length > 0 && messages.Last().sender != Sender.AGENT);

        chat = Patiently(() => webchat.EndChat(chat.CHATID));
        Console.WriteLine("Chat {0} is {1} with {2} messages", chat.CHATID, chat.status, chat.lastSequence);

        try { webchat.SendMessage(chat.CHATID, "{\"text\": \"Too late\"}", null); }
        catch (SoapException fault)
        {
            var detail = WebchatFault.Of(fault);
            if (detail == null) throw;
            Console.WriteLine("{0}, field {1}, request {2}: {3}",
                detail.code, detail.field, detail.requestId, detail.message);
        }
    }
}
