// Eyeballs, lashes, mouth, gums, teeth: chosen by u_part.
in vec3 v_world;
in vec3 v_normal;
in vec4 v_rest;
in vec3 v_local;
uniform int u_part;            // 1 socket, 2 eye, 3 lash, 4 mouth, 5 gums, 6 teeth
uniform vec3 u_eye_centre;     // head space, neutral eyeball
uniform mat3 u_eye_inverse;    // undoes gaze and the rest divergence: iris axis becomes +z
uniform vec3 u_iris;
uniform vec3 u_lash;
uniform vec3 u_skin;
out vec4 f_colour;
void main() {
    vec3 n = normalize(v_normal);
    vec3 v = to_camera(v_world);
    vec3 rest = v_rest.xyz;
    vec3 colour;
    if (u_part == 2) {
        vec3 d = v_local - u_eye_centre;
        vec3 iris_direction = u_eye_inverse * normalize(d);
        float r = length(iris_direction.xy) + (iris_direction.z < 0.0 ? 2.0 : 0.0);
        float turn = atan(iris_direction.y, iris_direction.x);
        float ray = texture(u_noise, vec3(turn * 0.9, r * 1.5, 0.3)).r;
        vec3 white = vec3(0.60, 0.565, 0.55) * mix(vec3(1.0), vec3(0.85, 0.6, 0.55), smoothstep(0.55, 0.95, abs(d.x) / 1.5));
        vec3 iris = u_iris * (0.55 + 0.9 * ray) * mix(1.15, 0.7, smoothstep(0.18, 0.42, r));
        iris = mix(vec3(0.006), iris, smoothstep(0.155, 0.185, r));
        iris *= mix(1.0, 0.35, smoothstep(0.35, 0.43, r));
        colour = mix(iris, white, smoothstep(0.41, 0.455, r));
        float lid = smoothstep(0.75, -0.1, d.y / 1.5) * smoothstep(-0.95, -0.2, d.y / 1.5);
        float ao = 0.30 + 0.70 * smoothstep(0.62, 0.05, d.y / 1.5);
        vec3 c = shade(colour, v_world, n, v, ao * lid, vec3(0.45, 0.35, 0.32), 0.0, 10.0);
        float spot = smoothstep(0.965, 0.985, dot(reflect(-v, n), normalize(u_key_direction + vec3(0.0, 0.25, 0.6))));
        c += spot * 0.9 * lid * step(r, 0.8);
        f_colour = developed(c, u_class);
        return;
    }
    if (u_part == 3) {   // upper lashes only: lower ones would read as eyeliner
        float side = abs(rest.x);
        float along = clamp((rest.z - 9.60 + 0.30 * max(side - 3.3, 0.0)) / 0.95, 0.0, 1.0);   // root to tip
        float hair = abs(fract((side - 0.25 * along * (side - 3.2)) * 8.0) - 0.5) * 2.0;
        if (rest.y < 3.55 || hair > 1.05 - along) discard;
        f_colour = developed(mix(u_lash, u_skin * 0.3, 0.45) * (u_sky + 0.3 * u_key), u_class);
        return;
    }
    float depth = smoothstep(5.0, 10.5, rest.z);
    float ao = depth * depth;
    if (u_part == 6) colour = vec3(0.60, 0.55, 0.46) * (0.92 + 0.16 * smoothstep(0.0, 0.5, abs(rest.y + 3.4)));
    else if (u_part == 5) colour = vec3(0.50, 0.17, 0.16);
    else if (u_part == 4) colour = vec3(0.28, 0.07, 0.07);
    else { colour = u_skin * vec3(0.75, 0.5, 0.48); ao = 0.7; }
    f_colour = developed(shade(colour, v_world, n, v, ao * (u_part == 6 ? 0.95 : 0.6), vec3(0.3), u_part == 1 ? 0.0 : 0.10, 30.0), u_class);
}
