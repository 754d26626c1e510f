import java.beans.BeanInfo;
import java.beans.Introspector;
import java.beans.PropertyDescriptor;
import java.net.URL;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import javax.xml.datatype.XMLGregorianCalendar;
import javax.xml.ws.WebServiceFeature;
import javax.xml.ws.soap.AddressingFeature;
import javax.xml.ws.soap.MTOMFeature;
import webchat.*;

/** The scenario of stacks.py with the classes that wsimport makes. Arguments: see there. */
public class Client {
    interface Call { Object run() throws WebchatException; }

    public static void main(String[] arguments) throws Exception {
        Map<String, Object> results = new LinkedHashMap<>();
        Webchat service = new Webchat(new URL(arguments[0]));
        // A second proxy of each version asks with MTOM's packages and WS-Addressing's headers.
        WebServiceFeature[] features = {new MTOMFeature(), new AddressingFeature()};
        results.put("1.1", play(service.getWebchatSoap11(), service.getWebchatSoap11(features), arguments, "1.1"));
        results.put("1.2", play(service.getWebchatSoap12(), service.getWebchatSoap12(features), arguments, "1.2"));
        System.out.println(json(results));
    }

    static Map<String, Object> play(
        WebchatPortType webchat, WebchatPortType packaged, String[] arguments, String version) throws Exception {
        String chat = arguments[1] + "-" + version, lists = arguments[2];
        String file = "{\"fileUrl\": \"" + arguments[3] + "\", \"fileType\": \"IMAGE\"}";
        Map<String, Object> seen = new LinkedHashMap<>();
        seen.put("started", webchat.startChat(chat, "Ayşe 🙂", null));
        seen.put("empty", webchat.getMessages(chat, null, null, null));
        seen.put("text", webchat.sendMessage(chat, "{\"text\": \"first ş\"}", "token-1"));
        seen.put("repeated", webchat.sendMessage(chat, "{\"text\": \"first ş\"}", "token-1"));
        seen.put("one", webchat.getMessages(chat, null, null, null));
        seen.put("file", webchat.sendMessage(chat, "{\"fileDetails\": " + file + "}", null));
        seen.put("both", webchat.sendMessage(chat, "{\"text\": \"a <b> & ]]>\", \"fileDetails\": " + file + "}", null));
        seen.put("uploaded", webchat.uploadFile(chat, file, null));
        seen.put("two", webchat.getMessages(chat, 1L, 2, 5));
        seen.put("lists", packaged.getMessages(lists, null, null, null));
        seen.put("limits", webchat.getLimits(chat));
        seen.put("general", webchat.getLimits(null));
        seen.put("ended", webchat.endChat(chat));
        Map<String, Object> faults = new LinkedHashMap<>();
        faults.put("late", fault(() -> webchat.sendMessage(chat, "{\"text\": \"late\"}", null)));
        faults.put("broken", fault(() -> webchat.sendMessage(lists, "{\"text\":\n }", null)));
        String large = "{\"fileUrl\": \"" + arguments[4] + "\"}", missing = "{\"fileUrl\": \"" + arguments[5] + "\"}";
        faults.put("large", fault(() -> webchat.uploadFile(arguments[1], large, null)));
        faults.put("missing", fault(() -> webchat.uploadFile(arguments[1], missing, null)));
        faults.put("mismatch", fault(() -> webchat.uploadFile(arguments[1], file.replace("IMAGE", "VIDEO"), null)));
        faults.put("negative", fault(() -> packaged.getMessages(lists, -1L, null, null)));
        seen.put("faults", faults);
        return seen;
    }

    static WebchatFault fault(Call call) {
        try {
            call.run();
        } catch (WebchatException error) {
            return error.getFaultInfo();
        }
        return null;
    }

    /** JSON of what the generated classes hold; a type that they should not hold is an error. */
    static String json(Object value) throws Exception {
        if (value == null || value instanceof Boolean || value instanceof Integer || value instanceof Long) {
            return String.valueOf(value);
        }
        if (value instanceof String) return quoted((String) value);
        if (value instanceof Enum) return "{\"enumeration\": " + quoted(((Enum<?>) value).name()) + "}";
        if (value instanceof XMLGregorianCalendar) {
            return "{\"time\": " + quoted(((XMLGregorianCalendar) value).toXMLFormat()) + "}";
        }
        if (value instanceof List) {
            List<String> items = new ArrayList<>();
            for (Object item : (List<?>) value) items.add(json(item));
            return "[" + String.join(", ", items) + "]";
        }
        Map<String, Object> members = new LinkedHashMap<>();
        if (value instanceof Map) {
            ((Map<?, ?>) value).forEach((name, member) -> members.put((String) name, member));
        } else if (value.getClass().getPackageName().equals("webchat")) {
            BeanInfo bean = Introspector.getBeanInfo(value.getClass(), Object.class);
            for (PropertyDescriptor property : bean.getPropertyDescriptors()) {
                members.put(property.getName(), property.getReadMethod().invoke(value));
            }
        } else {
            throw new IllegalStateException("no value of a generated class should be a " + value.getClass());
        }
        List<String> pairs = new ArrayList<>();
        for (Map.Entry<String, Object> member : members.entrySet()) {
            pairs.add(quoted(member.getKey()) + ": " + json(member.getValue()));
        }
        return "{" + String.join(", ", pairs) + "}";
    }

    static String quoted(String text) {
        return text.chars()
            .mapToObj(unit -> unit < 32 || unit > 126 || unit == '"' || unit == '\\'
                ? String.format("\\u%04x", unit) : "" + (char) unit)
            .collect(Collectors.joining("", "\"", "\""));
    }
}
