// A small client of the webchat service: ./run-java [ADDRESS [FILE_URL]], with the classes that wsimport makes.
import java.net.URL;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import javax.xml.ws.BindingProvider;
import javax.xml.ws.WebServiceException;
import webchat.*;

public class WebchatClient {
    interface Call<T> { T run() throws WebchatException; }

    // Calls until it works or another try cannot help. Every try sends the same clientToken, so the call counts once.
    static <T> T patiently(Call<T> call) throws WebchatException, InterruptedException {
        for (int attempt = 0; ; attempt++) {
            int seconds = 1 << attempt;
            try {
                return call.run();
            } catch (WebchatException error) {
                WebchatFault fault = error.getFaultInfo();
                if (!fault.isRetryable() || attempt == 4) throw error;
                if (fault.getRetryAfterSeconds() != null) seconds = fault.getRetryAfterSeconds();
            } catch (WebServiceException error) { // no answer: the call may have worked
                if (attempt == 4) throw error;
            }
            System.out.printf("Trying again in %d s%n", seconds);
            Thread.sleep(seconds * 1000L);
        }
    }

    static String newToken() {
        return UUID.randomUUID().toString();
    }

    public static void main(String[] arguments) throws Exception {
        String address = arguments.length > 0 ? arguments[0] : "http://127.0.0.1:8000";
        WebchatPortType webchat = new Webchat(new URL(address + "/webchat?wsdl")).getWebchatSoap11();
        Map<String, Object> context = ((BindingProvider) webchat).getRequestContext();
        context.put("com.sun.xml.ws.connect.timeout", 5_000);
        context.put("com.sun.xml.ws.request.timeout", 60_000); // a call answers within 45 seconds, or not at all

        // Without a FILE_URL this sends a file of the chat "demo", which `make run` makes.
        String fileUrl = arguments.length > 1 ? arguments[1]
            : webchat.getMessages("demo", null, null, null).getMessage().stream()
                .flatMap(message -> message.getFile().stream()).findFirst().orElseThrow().getFileUrl();

        String chatToken = newToken();
        Chat chat = patiently(() -> webchat.startChat(null, "Ayşe Yılmaz", chatToken));
        String chatId = chat.getCHATID();
        System.out.printf("Chat %s is %s since %tF %<tT UTC%n", chatId, chat.getStatus(),
            chat.getStartedAt().toGregorianCalendar());

        // Write real texts with a JSON library, which escapes what has to be.
        String text = "{\"text\": \"Merhaba! A picture for you:\"}", textToken = newToken();
        MessageReceipt sent = patiently(() -> webchat.sendMessage(chatId, text, textToken));
        System.out.printf("Text is message %d%n", sent.getSequence());

        // UploadFile posts the file to the chat: do not send its link by SendMessage as well.
        String details = "{\"fileUrl\": \"" + fileUrl + "\"}", fileToken = newToken();
        MessageReceipt uploaded = patiently(() -> webchat.uploadFile(chatId, details, fileToken));
        for (StoredFile file : uploaded.getFile()) {
            System.out.printf("File is message %d: %s of %d bytes, %s%n",
                uploaded.getSequence(), file.getFileType(), file.getSize(), file.getFileUrl());
        }

        // Each poll asks for what follows the last message, and waits for it, until an agent answers or nothing comes.
        long lastSequence = 0;
        List<Message> messages;
        do {
            long after = lastSequence;
            messages = patiently(() -> webchat.getMessages(chatId, after, null, 10)).getMessage();
            for (Message message : messages) {
                lastSequence = message.getSequence();
                System.out.printf("Message %d of %s: %s, %d files%n", lastSequence, message.getSender(),
                    message.getText() == null ? "" : message.getText(), message.getFile().size());
            }
        } while (!messages.isEmpty() && messages.get(messages.size() - 1).getSender() != Sender.AGENT);

        chat = patiently(() -> webchat.endChat(chatId));
        System.out.printf("Chat %s is %s with %d messages%n", chatId, chat.getStatus(), chat.getLastSequence());

        try {
            webchat.sendMessage(chatId, "{\"text\": \"Too late\"}", null);
        } catch (WebchatException error) {
            WebchatFault fault = error.getFaultInfo();
            System.out.printf("%s, field %s, request %s: %s%n",
                fault.getCode(), fault.getField(), fault.getRequestId(), fault.getMessage());
        }
    }
}
